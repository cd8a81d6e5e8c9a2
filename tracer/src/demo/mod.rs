//! The demo: scenarios played by real sockets on simulated hosts, and judged by what the probes saw.
//!
//! A scenario runs in private network namespaces ([`host`]) that a [`wire`] joins. It acts, gathers
//! what witnesses apart from the probes say (the sockets' own states, `/proc/net/snmp`, sock_diag), and
//! its verdict is a pure function of the events that the probes reported and of those witnesses.

pub mod capture;
mod carrier;
pub mod evidence;
pub mod feed;
pub mod filter;
pub mod findings;
pub mod forge;
pub mod host;
pub mod link;
pub mod netlink;
pub mod netstat;
pub mod recorder;
mod run;
pub mod scenario;
pub mod scenarios;
pub mod segment;
pub mod stage;
pub mod summary;
pub mod tcp;
pub mod tun;
pub mod wire;

pub use run::run;
