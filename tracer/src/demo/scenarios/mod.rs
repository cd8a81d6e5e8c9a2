//! The scenarios, one file each.

pub mod closed_port;
mod forged;
pub mod listener;
pub mod raw_handshake;
pub mod raw_handshake_filtered;
pub mod self_connect;
pub mod simultaneous_open;

#[cfg(test)]
pub(super) mod tests;
