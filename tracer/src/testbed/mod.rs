//! Simulated hosts for the demo and the tests: network namespaces ([`host`]) that a [`wire`] joins, forged segments, packet
//! filters and captures.

pub mod capture;
mod carrier;
pub mod filter;
pub mod forge;
pub mod host;
pub mod link;
pub mod netlink;
pub mod segment;
pub mod tcp;
pub mod tun;
pub mod wire;
