//! Which terminal the command gets.
//!
//! Whoever has a terminal as his own can put input into it (TIOCSTI): a command of another user could type a line into
//! root's shell. So it gets a session of its own, in which our terminal is not its own, and a terminal of its own (a
//! pseudo-terminal) in place of ours.

mod outer;
mod pty;
mod relay;

use std::{
    io::{self, IsTerminal as _},
    os::fd::{AsFd as _, BorrowedFd},
};

use clap::ValueEnum;
use nix::unistd::{Uid, dup2_stderr, dup2_stdin, dup2_stdout};
use procfs::process::Process;
use rustix::process::{ioctl_tiocsctty, setsid};

use self::{outer::Outer, pty::Pty};

pub(super) use self::relay::Relay;

/// When a command gets a terminal of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// If it runs as another user.
    Auto,
    /// Whoever runs it.
    Always,
    /// It shares the tracer's.
    Never,
}

/// Standard input, output and error.
const STANDARD: usize = 3;

/// Where the command runs.
#[derive(Debug)]
pub(super) enum Place {
    /// In our session, at our terminal if we have one.
    Ours,
    /// In a session of its own, without a terminal: none of what is given to it is one, but our session has one.
    Session,
    /// In a session and at a terminal of its own, whose input and output we pass on.
    Terminal(Terminal),
}

/// A terminal of the command's own.
#[derive(Debug)]
pub(super) struct Terminal {
    pty: Pty,
    outer: Outer,
    /// Which of the standard streams are the terminal, and not a file or a pipe.
    streams: [bool; STANDARD],
}

impl Place {
    /// The place for a command that runs as `other`, if that is not who we are.
    ///
    /// Blocks the signals that a [`Relay`] handles, so call it before there are threads.
    ///
    /// # Errors
    /// If it has to be a terminal, and none can be made, or there is none whose input and output could be passed on.
    pub(super) fn choose(when: When, other: Option<Uid>) -> io::Result<Self> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let streams = [stdin.is_terminal(), stdout.is_terminal(), stderr.is_terminal()];
        let ours: [BorrowedFd<'_>; STANDARD] = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        let is_wanted = match when {
            When::Auto => other.is_some_and(|uid| !uid.is_root()),
            When::Always => true,
            When::Never => false,
        };
        let ours = ours.into_iter().zip(streams).find_map(|(stream, is_terminal)| is_terminal.then_some(stream));
        match (is_wanted, ours) {
            (false, _) => Ok(Self::Ours),
            (true, Some(ours)) => {
                let outer = Outer::new(ours, streams[0])?;
                let pty = Pty::open(&outer, other)?;
                relay::block_signals()?;
                Ok(Self::Terminal(Terminal { pty, outer, streams }))
            }
            (true, None) if when == When::Always => {
                Err(io::Error::other("neither standard input nor output nor error is one that could be passed on"))
            }
            (true, None) if has_terminal() => Ok(Self::Session),
            (true, None) => Ok(Self::Ours),
        }
    }

    /// Moves the calling process there; async-signal-safe. It must not lead its process group.
    pub(super) fn enter(&self) -> nix::Result<()> {
        let terminal = match self {
            Self::Ours => return Ok(()),
            Self::Session => None,
            Self::Terminal(terminal) => Some(terminal),
        };
        setsid().map_err(errno)?;
        let Some(Terminal { pty, streams, .. }) = terminal else { return Ok(()) };
        ioctl_tiocsctty(pty.commands_end()).map_err(errno)?;
        let [stdin, stdout, stderr] = *streams;
        if stdin {
            dup2_stdin(pty.commands_end())?;
        }
        if stdout {
            dup2_stdout(pty.commands_end())?;
        }
        if stderr {
            dup2_stderr(pty.commands_end())?;
        }
        Ok(())
    }
}

/// Whether our session has a terminal, though none of the streams need be it. Where nobody can tell, it may have.
fn has_terminal() -> bool {
    let stat = Process::myself().and_then(|own| own.stat());
    stat.map_or(true, |stat| stat.tty_nr != 0)
}

fn errno(error: rustix::io::Errno) -> nix::Error {
    nix::Error::from_raw(error.raw_os_error())
}
