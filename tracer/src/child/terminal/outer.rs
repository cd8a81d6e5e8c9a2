//! Our own terminal, while a command has one of its own: keys go to that as they are, and it decides what they mean.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    panic,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{
    process::{Pid, getpgrp},
    termios::{OptionalActions, OutputModes, Termios, Winsize, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr},
};

/// The terminal that we were started at. Dropped, it is as it was found.
#[derive(Debug)]
pub(super) struct Outer {
    state: Arc<State>,
    /// Its keys are for the command: standard input is this terminal.
    has_keys: bool,
}

#[derive(Debug)]
struct State {
    terminal: OwnedFd,
    /// Our process group.
    group: Pid,
    found: Termios,
    /// What it was set to, if it is not as it was found.
    raw: Mutex<Option<Termios>>,
}

impl Outer {
    pub(super) fn new(terminal: BorrowedFd<'_>, has_keys: bool) -> io::Result<Self> {
        let terminal = terminal.try_clone_to_owned()?;
        let found = tcgetattr(&terminal)?;
        Ok(Self { state: Arc::new(State { terminal, group: getpgrp(), found, raw: Mutex::new(None) }), has_keys })
    }

    pub(super) fn found(&self) -> &Termios {
        &self.state.found
    }

    pub(super) fn size(&self) -> Option<Winsize> {
        tcgetwinsize(&self.state.terminal).ok()
    }

    /// Whether keys are passed on now: not in the background, where the kernel would stop us for it.
    pub(super) fn passes_keys(&self) -> bool {
        self.has_keys && self.state.is_ours()
    }

    /// Takes the keys as they are, if they are for us. They are the command's to interpret from now on.
    pub(super) fn take_keys(&self) -> io::Result<()> {
        if !self.passes_keys() {
            return Ok(());
        }
        let mut modes = self.state.found.clone();
        modes.make_raw();
        // What the tracer itself writes consists of lines. The command's lines are complete, so they suffer nothing by it.
        modes.output_modes = self.state.found.output_modes;
        self.state.set(modes)
    }

    /// Treats what is written as the command wants it: what takes the whole screen moves down without going to the left.
    pub(super) fn follow(&self, output: OutputModes) -> io::Result<()> {
        let modes = self.state.raw().clone().filter(|modes| modes.output_modes != output);
        match modes {
            Some(mut modes) if self.state.is_ours() => {
                modes.output_modes = output;
                self.state.set(modes)
            }
            _ => Ok(()),
        }
    }

    /// Leaves the terminal as it was found.
    pub(super) fn leave(&self) {
        self.state.restore(self.state.raw());
    }

    /// A panic, which ends the process in a release, leaves the terminal as it was found, too.
    pub(super) fn survive_panics(&self) {
        let state = Arc::clone(&self.state);
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Perhaps of who is setting it right now.
            if let Ok(raw) = state.raw.try_lock() {
                state.restore(raw);
            }
            next(info);
        }));
    }
}

impl AsFd for Outer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.state.terminal.as_fd()
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        self.state.restore(self.state.raw());
    }
}

impl State {
    /// We are in its foreground.
    fn is_ours(&self) -> bool {
        tcgetpgrp(&self.terminal).is_ok_and(|group| group == self.group)
    }

    fn raw(&self) -> MutexGuard<'_, Option<Termios>> {
        self.raw.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, modes: Termios) -> io::Result<()> {
        let mut raw = self.raw();
        tcsetattr(&self.terminal, OptionalActions::Drain, &modes)?;
        *raw = Some(modes);
        Ok(())
    }

    fn restore(&self, mut raw: MutexGuard<'_, Option<Termios>>) {
        // In the background it is another's to set, and one that has gone needs nothing.
        if raw.take().is_some() && self.is_ours() {
            let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.found);
        }
    }
}
