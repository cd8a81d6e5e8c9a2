//! What is asked of every command, checked and complete: nothing below the command line sees its arguments.

use std::{path::PathBuf, time::Duration};

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

/// When a recording goes on in another file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotation {
    /// A file has at least so many bytes.
    pub bytes: Option<u64>,
    /// A file has been written to for so long.
    pub time: Option<Duration>,
    /// So many files are kept, and older ones removed.
    pub keep: Option<usize>,
}

impl Rotation {
    /// There is more than one file.
    pub fn is_wanted(self) -> bool {
        self.bytes.is_some() || self.time.is_some()
    }
}
