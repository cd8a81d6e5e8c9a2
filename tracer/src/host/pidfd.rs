//! Processes by descriptor: an id may soon be another's.

use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The process with this id; `ESRCH` if there is none.
pub(crate) fn open(pid: u32) -> nix::Result<OwnedFd> {
    // SAFETY: takes two numbers; the result is checked before it becomes a descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = nix::errno::Errno::result(fd)?;
    // SAFETY: a descriptor that is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// All of its threads have ended, and so closed their last descriptor: only then a pidfd is readable. Its id
/// stays in `/proc` until its parent has waited for it.
pub(crate) fn has_ended(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO) == Ok(1)
}
