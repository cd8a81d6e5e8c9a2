//! Lookups of sockets.

use schemars::JsonSchema;
use serde::Serialize;

use super::TcpState;

/// One socket lookup, from the receiving side: `remote` sent the segment, `local` is its destination.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Lookup {
    /// The table that was searched.
    pub table: Table,
    /// True if a socket was found.
    pub hit: bool,
    /// State of the socket that was found; null if none was.
    pub state: Option<TcpState>,
    /// How this was observed.
    pub observed: Observed,
}

/// A table of `tcp_hashinfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Established hash: every socket from SYN_SENT to TIME_WAIT.
    Ehash,
    /// Listening sockets.
    Listener,
}

/// Source of a lookup's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// A probe on the lookup function saw the kernel's own lookup.
    Probe,
    /// The lookup was repeated through `sock_diag`, separately from the kernel's own.
    SockDiag,
}
