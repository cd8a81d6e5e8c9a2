//! What is asked of every command, checked and complete: nothing below the command line sees its arguments.

use std::path::PathBuf;

use crate::kernel::probes::ProbeFamily;

/// How the kernel is observed, whatever for.
#[derive(Debug, Clone)]
pub struct Config {
    /// The kernel's BTF.
    pub btf: PathBuf,
    /// The family of probes to use.
    pub family: ProbeFamily,
    /// Size of the ring buffer in bytes, a power of two of at least a page.
    pub ring_bytes: u32,
    /// Sockets whose past is remembered at a time; by the machine's memory if none is given.
    pub sockets: Option<u32>,
    /// Files that exist are overwritten.
    pub force: bool,
    /// The programs' own log is shown.
    pub verbose: bool,
}
