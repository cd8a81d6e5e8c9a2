//! Full accept queues.

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Verdict;

/// A full accept queue dropped connections: their SYNs or final ACKs. `local` is the listener's address and port.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Overflow {
    /// Length of the accept queue when it was last read.
    pub backlog: u32,
    /// Limit of the accept queue (`listen()`, net.core.somaxconn); the queue can hold one connection more.
    pub max_backlog: u32,
    /// Increase of ListenOverflows in the netns since the last report: segments that found a full queue.
    pub overflows: u64,
    /// Increase of ListenDrops in the netns since the last report: segments that listeners dropped.
    pub drops: u64,
    /// Number of listeners in the netns whose accept queues were full.
    pub listeners: u32,
    /// True if a final ACK was seen to find this queue full; false if that is inferred from the counter.
    pub observed: bool,
    /// Why connections were dropped.
    pub verdict: Option<Verdict>,
}
