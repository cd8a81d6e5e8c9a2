//! Accept queues that are full.

use schemars::JsonSchema;
use serde::Serialize;

use crate::diagnose::Verdict;

/// Connections found a listener's accept queue full: their SYNs or last ACKs were dropped. `local` is the listener's end.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Overflow {
    /// Connections that waited to be accepted when the queue was last looked at.
    pub backlog: u32,
    /// The limit that was asked for (`listen()`, net.core.somaxconn); one more may wait.
    pub max_backlog: u32,
    /// How often a segment found a full queue in the namespace since it was last told (ListenOverflows).
    pub overflows: u64,
    /// The same of all segments that listeners dropped (ListenDrops).
    pub drops: u64,
    /// Listeners of the namespace whose queues were full.
    pub listeners: u32,
    /// A handshake's last ACK was seen to find this one full; else it follows from the counter.
    pub observed: bool,
    /// Why.
    pub verdict: Option<Verdict>,
}
