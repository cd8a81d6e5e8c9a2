//! The command after its exec.

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::ExitStatus,
    ptr,
    sync::Arc,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::io::{Interest, unix::AsyncFd};

use super::Relay;
use crate::host::pidfd;

/// A command that runs. Dropped, it goes on without us.
#[derive(Debug)]
pub struct Running {
    pid: Pid,
    pidfd: Arc<OwnedFd>,
    /// Made by the first wait, as there may be no runtime before.
    watched: Option<AsyncFd<Arc<OwnedFd>>>,
    ended: Option<Status>,
    /// It leads a session, and a process group, of its own.
    is_apart: bool,
    /// What passes its terminal on.
    relay: Option<Relay>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this code.
    Exited(u8),
    /// By this signal.
    Signaled(i32),
}

impl Running {
    /// `pid` is a child that nobody has waited for.
    pub(super) fn new(pid: Pid) -> io::Result<Self> {
        let pidfd = Arc::new(pidfd::open(pid.as_raw().unsigned_abs())?);
        Ok(Self { pid, pidfd, watched: None, ended: None, is_apart: false, relay: None })
    }

    /// It has a session of its own, with a terminal whose input and output are passed on, or without one.
    pub(super) fn is_apart(&mut self, relay: Option<Relay>) {
        self.is_apart = true;
        self.relay = relay;
    }

    /// Process ID; once [`Running::wait`] has completed, that of another process perhaps.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Completes when the command has ended, and from then on at once. Cancel-safe. Needs a runtime of
    /// tokio with I/O enabled.
    ///
    /// # Errors
    /// If epoll or waitpid(2) fails, for example because the child was already waited for.
    pub async fn wait(&mut self) -> io::Result<Status> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        let watched = match &mut self.watched {
            Some(watched) => watched,
            none => {
                let pidfd = Arc::clone(&self.pidfd);
                // SAFETY: the AsyncFd shares in owning the descriptor, so it stays open and the same.
                none.insert(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
            }
        };
        loop {
            let mut ready = watched.readable().await?;
            // No await from here on: a status that was taken from the kernel must not get lost.
            if let Some(status) = reap(self.pid)? {
                self.ended = Some(status);
                // Its terminal ends with it, and ours is ours again.
                self.relay = None;
                return Ok(status);
            }
            ready.clear_ready();
        }
    }

    /// Passes a signal on, unless the command has got it: `is_of_terminal`, which sends it to all in its foreground.
    ///
    /// # Errors
    /// `ESRCH` once the command was waited for, never a signal to who has its PID then; `EPERM` if the
    /// command has taken another user.
    pub fn forward(&self, signal: Signal, is_of_terminal: bool) -> io::Result<()> {
        match (is_of_terminal, self.is_apart) {
            (false, _) => self.signal(signal),
            // To all that a terminal of its own would send it to. Its id is taken as long as nobody has waited for it.
            (true, true) if self.ended.is_none() => Ok(killpg(self.pid, signal)?),
            (true, _) => Ok(()),
        }
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let (pidfd, signal) = (self.pidfd.as_raw_fd(), signal as i32);
        let no_info = ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open, and a null siginfo is as kill(2).
        let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, no_info, 0) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Status {
    /// As shells have it: a signal counts from 128.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX),
        }
    }
}

/// How the child ended, if it has. (nix has no name for real-time signals, so it would lose these.)
fn reap(pid: Pid) -> io::Result<Option<Status>> {
    let mut raw = 0;
    // SAFETY: waitpid(2) writes an int to the place that it is given.
    match unsafe { libc::waitpid(pid.as_raw(), &raw mut raw, libc::WNOHANG) } {
        0 => Ok(None),
        1.. => {
            let status = ExitStatus::from_raw(raw);
            // Without WUNTRACED or WCONTINUED it is one of the two.
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
            Ok(Some(status.signal().map_or(Status::Exited(code), Status::Signaled)))
        }
        _ => Err(io::Error::last_os_error()),
    }
}
