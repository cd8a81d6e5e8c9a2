//! Whose a socket is.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::enrich::place::Container;

/// The process that owns a socket: it connected, listened or accepted, or was the last to work on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema, Serialize)]
pub struct Owner {
    /// Process id (thread group), in the initial pid namespace.
    pub pid: u32,
    /// Thread that made the call.
    pub tid: u32,
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
}
