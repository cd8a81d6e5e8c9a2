//! Starts the command of `tracer trace -- COMMAND`: made first and held before its exec, so that its PID
//! can go into the kernel's filter and probes are in place when it begins.
//!
//! Under sudo, doas or pkexec the command runs as the user who called that; see [`Held::fork`].

mod error;
mod identity;
mod image;
mod running;
mod signals;
mod terminal;
#[cfg(test)]
mod tests;

use std::{
    env,
    ffi::{CString, OsStr, OsString},
    io::{self, Read, Write},
    mem,
    os::unix::net::UnixStream,
};

use nix::{
    sys::{
        signal::{SigSet, SigmaskHow, Signal, kill},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork, getuid},
};

pub use error::CommandError;
pub use running::{Running, Status};
pub(crate) use signals::is_ignored;
pub use terminal::When;

use {
    identity::Identity,
    image::Image,
    terminal::{Place, Relay},
};

/// Environment variables, in order.
type Environment = Vec<(OsString, OsString)>;

/// A child that waits before its exec.
///
/// Dropped, it takes the child with it. So does the end of this process, however it comes: the child
/// sees its channel close.
#[derive(Debug)]
pub struct Held {
    pid: Pid,
    channel: UnixStream,
    name: OsString,
    candidates: Vec<CString>,
    place: Place,
    released: bool,
}

impl Held {
    /// Makes the child that will become `command`, whose first element is searched for as execvp(3) does.
    ///
    /// Where sudo, doas or pkexec started us (real user 0, and their variables name a user), the command gets that user,
    /// its groups, and its `HOME`, `USER`, `LOGNAME` and `SHELL`, and none of these variables. Otherwise it runs as we do.
    ///
    /// `pty`: when it gets a terminal of its own.
    ///
    /// The child has the resource limits of this moment: call this before [`crate::kernel::preflight::check`],
    /// which raises one, and before anything starts threads.
    ///
    /// # Errors
    /// [`CommandError::Other`] if there can be no child, [`CommandError::NoTerminal`] if it cannot have one; whether the
    /// command exists shows on release.
    pub fn fork(command: &[OsString], pty: When) -> Result<Self, CommandError> {
        Self::fork_in(env::vars_os().collect(), command, pty)
    }

    fn fork_in(mut environment: Environment, command: &[OsString], pty: When) -> Result<Self, CommandError> {
        let identity = if getuid().is_root() { Identity::of_caller(&environment)? } else { None };
        if let Some(identity) = &identity {
            identity.adapt(&mut environment);
        }
        let place = Place::choose(pty, identity.as_ref().map(Identity::uid)).map_err(CommandError::NoTerminal)?;
        let mut image = Image::new(command, &environment, identity, place).map_err(CommandError::starting)?;
        let (channel, childs_end) = UnixStream::pair().map_err(CommandError::starting)?;
        signals::keep_exit_statuses();

        // Blocked until the child has no handlers of ours: one that ran in it would swallow a ctrl-C.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(CommandError::starting)?;
        // SAFETY: the child only closes a descriptor and runs `Image::become_it`, which neither allocates
        // nor takes locks, and does not return.
        let forked = match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                // Else the child would keep open what tells it of our end.
                drop(channel);
                image.become_it(&childs_end)
            }
            Ok(ForkResult::Parent { child }) => Ok(child),
            Err(error) => Err(CommandError::starting(error)),
        };
        // Fails only for arguments that this cannot have.
        let _ = mask.thread_set_mask();
        let name = command.first().map(OsStr::new).unwrap_or_default().to_owned();
        let (candidates, place) = image.into_parts();
        Ok(Self { pid: forked?, channel, name, candidates, place, released: false })
    }

    /// Process ID, the same before and after the exec.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Lets the child exec, and returns when it has or cannot.
    ///
    /// A child that was killed while it was held counts as running: [`Running::wait`] tells of it.
    ///
    /// # Errors
    /// See [`CommandError`]; there is no child any more then.
    pub fn release(mut self) -> Result<Running, CommandError> {
        let mut running = Running::new(self.pid).map_err(CommandError::starting)?;
        match mem::replace(&mut self.place, Place::Ours) {
            Place::Ours => {}
            Place::Session => running.is_apart(None),
            // Before there is anything to pass on.
            Place::Terminal(terminal) => {
                running.is_apart(Some(Relay::start(terminal).map_err(CommandError::NoTerminal)?));
            }
        }
        let mut report = Vec::new();
        // The exec closes the child's end; before that it only writes if something failed.
        match self.channel.write_all(&[0]).and_then(|()| self.channel.read_to_end(&mut report)) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {}
            Err(error) => return Err(CommandError::starting(error)),
        }
        if let Some(failure) = image::Failure::from_bytes(&report) {
            return Err(CommandError::new(failure, &self.name, &self.candidates));
        }
        self.released = true;
        Ok(running)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        // Closing the channel would do, but not for a child that ctrl-Z has stopped. The PID is still the
        // child's: nobody else reaps it.
        let _ = kill(self.pid, Signal::SIGKILL);
        while waitpid(self.pid, None) == Err(nix::Error::EINTR) {}
    }
}
