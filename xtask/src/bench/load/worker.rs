//! What the workloads have in common.

use std::io;

/// What one thread does.
pub(super) trait Worker: Send {
    /// Does it once.
    fn operate(&mut self) -> io::Result<()>;
}
