//! Owners of sockets.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::Pid;
use crate::event::Container;

/// The process that owns a socket: it connected, listened or accepted, or made the last call on the socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema, Serialize)]
pub struct Owner {
    /// Process id (thread group).
    pub pid: Pid,
    /// Thread that made the call.
    pub tid: Pid,
    /// That thread's name; invalid UTF-8 is replaced.
    pub comm: String,
    /// The process's command line, quoted for a shell and possibly truncated; null if unknown. With `--redact` the
    /// program's name, and `...` for arguments.
    pub cmdline: Option<Arc<str>>,
    /// User id in the initial user namespace; null if unknown. With `--redact` a number from 4000000001 on stands for each
    /// but root.
    pub uid: Option<u32>,
    /// Name of that user on this host; null if it has none. With `--redact` `user-1` stands for 4000000001, and so on.
    pub user: Option<String>,
    /// Path of its cgroup in the unified hierarchy; null if unknown. With `--redact` `...` stands for parts that may name a
    /// user.
    pub cgroup: Option<String>,
    /// The container that the cgroup belongs to; null if it belongs to none.
    pub container: Option<Container>,
    /// How the owner is known.
    pub known: Known,
    /// How the process ended; absent if it has not ended, or if its end was not observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema, Serialize)]
pub struct Ended {
    /// Signal that ended it; null if it exited.
    pub signal: Option<u32>,
    /// Its exit status; null if a signal ended it.
    pub status: Option<u8>,
    /// True if the OOM killer chose it.
    pub oom: bool,
    /// The process that sent the signal; null if the kernel sent it, or if no sender was observed.
    pub by: Option<Sender>,
}

/// A process that sent a signal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema, Serialize)]
pub struct Sender {
    /// Process id (thread group).
    pub pid: Pid,
    /// User id in the initial user namespace; null if unknown.
    pub uid: Option<u32>,
    /// Name of its first thread; invalid UTF-8 is replaced.
    pub comm: String,
}

/// How an owner is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// It made a system call on the socket.
    Call,
    /// It held a descriptor of the socket when the trace began.
    Held,
    /// It owns the listener of the connection; no process was seen to accept the connection yet.
    Listener,
    /// It owned the last socket on this 4-tuple, or the last listener there: the event has no socket.
    Past,
    /// It was making a call on the socket at that time; the socket table had no room for the previous owner.
    AtWork,
}
