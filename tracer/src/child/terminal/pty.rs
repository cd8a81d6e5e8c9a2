//! The command's terminal: a pseudo-terminal (pty(7)).

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::fchown,
    },
};

use nix::unistd::Uid;
use rustix::{
    fs::{Mode, OFlags, open},
    io::ioctl_fionbio,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize},
};

use super::outer::Outer;

/// Both ends of it.
#[derive(Debug)]
pub(super) struct Pty {
    /// Does not block.
    ours: OwnedFd,
    /// Kept open until the command has ended: without anybody at that end ours cannot be waited for.
    commands: OwnedFd,
}

impl Pty {
    /// One that is as large and set as our terminal is now, and `owner`'s.
    pub(super) fn open(outer: &Outer, owner: Option<Uid>) -> io::Result<Self> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let name = ptsname(&ours, Vec::new())?;
        let commands = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        tcsetattr(&commands, OptionalActions::Now, outer.found())?;
        if let Some(owner) = owner {
            fchown(&commands, Some(owner.as_raw()), None)?;
        }
        ioctl_fionbio(&ours, true)?;
        outer.size().map_or(Ok(()), |size| resize(&ours, size))?;
        Ok(Self { ours, commands })
    }

    /// The end that becomes the command's standard streams.
    pub(super) fn commands_end(&self) -> BorrowedFd<'_> {
        self.commands.as_fd()
    }

    /// Our end, which does not block, and the command's.
    pub(super) fn into_ends(self) -> (OwnedFd, OwnedFd) {
        (self.ours, self.commands)
    }
}

/// Tells the command's terminal its size; the kernel tells the command (SIGWINCH).
pub(super) fn resize(our_end: &impl AsFd, size: Winsize) -> io::Result<()> {
    Ok(tcsetwinsize(our_end, size)?)
}

/// How the command has its terminal treat what it writes.
pub(super) fn output_modes(our_end: &impl AsFd) -> Option<OutputModes> {
    // Asked of this end, the kernel tells of the other.
    tcgetattr(our_end).ok().map(|modes| modes.output_modes)
}
