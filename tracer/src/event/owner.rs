//! Whose a socket is.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::Pid;
use crate::enrich::place::Container;

/// The process that owns a socket: it connected, listened or accepted, or was the last to work on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema, Serialize)]
pub struct Owner {
    /// Process id (thread group).
    pub pid: Pid,
    /// Thread that made the call.
    pub tid: Pid,
    /// That thread's name; invalid UTF-8 is replaced.
    pub comm: String,
    /// The process's arguments as one would type them, as far as they were kept.
    pub cmdline: Option<Arc<str>>,
    /// User id, in the initial user namespace.
    pub uid: Option<u32>,
    /// What this host calls that user.
    pub user: Option<String>,
    /// Path of the control group in the unified hierarchy.
    pub cgroup: Option<String>,
    /// The container that the control group is of.
    pub container: Option<Container>,
    /// How it is known.
    pub known: Known,
    /// How it ended; left out if it has not, or that was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema, Serialize)]
pub struct Ended {
    /// The signal that ended it; null if it exited.
    pub signal: Option<u32>,
    /// Its exit status; null if a signal ended it.
    pub status: Option<u8>,
    /// The OOM killer chose it.
    pub oom: bool,
    /// Who sent the signal; null if the kernel did, or nobody was seen to.
    pub by: Option<Sender>,
}

/// A process that sent a signal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema, Serialize)]
pub struct Sender {
    /// Process id (thread group).
    pub pid: Pid,
    /// User id, in the initial user namespace.
    pub uid: Option<u32>,
    /// The name of its first thread; invalid UTF-8 is replaced.
    pub comm: String,
}

/// How an owner is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// It was seen to work on the socket by a system call.
    Call,
    /// It had a descriptor of the socket when the trace began.
    Held,
    /// It owns the listener that the connection came to; nobody was seen to accept it yet.
    Listener,
    /// It had the socket that had these ends last, or listened there last: there is no socket of this one's own.
    Past,
    /// It was at work on the socket at that moment; whose it was before found no room.
    AtWork,
}
