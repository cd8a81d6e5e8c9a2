//! The scenarios, one file each, and the list of them.

use crate::demo::scenario::Scenario;

pub mod closed_port;
mod forged;
pub mod listener;
pub mod raw_handshake;
pub mod raw_handshake_filtered;
pub mod self_connect;
pub mod simultaneous_open;

#[cfg(test)]
pub(super) mod tests;

/// All scenarios, in the order in which they are played.
pub const ALL: [&dyn Scenario; 6] = [
    &listener::Listener,
    &self_connect::SelfConnect,
    &simultaneous_open::SimultaneousOpen,
    &raw_handshake::RawHandshake,
    &raw_handshake_filtered::RawHandshakeFiltered,
    &closed_port::ClosedPort,
];

/// The names of [`ALL`].
pub fn names() -> [&'static str; ALL.len()] {
    ALL.map(Scenario::name)
}
