//! What the CPU was doing at the time of an event.

use schemars::JsonSchema;
use serde::Serialize;

use super::Pid;

/// Execution context on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Context {
    /// Work of `task`, a process: a system call, or a close during its exit.
    Process,
    /// Work of `task`, a kernel thread, on behalf of another task.
    KernelThread,
    /// Packet processing (or another interrupt) that interrupted `task`.
    Softirq,
    /// A kernel timer that interrupted `task`.
    Timer,
    /// The kernel does not expose the context.
    Unknown,
}

/// A task as the kernel saw it at the time of the event.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Task {
    /// Process id (thread group).
    pub pid: Pid,
    /// Thread id.
    pub tid: Pid,
    /// The thread's name; invalid UTF-8 is replaced.
    pub comm: String,
}
