//! Passes keys on to the command's terminal, and what the command writes there on to ours.
//!
//! Each direction has a thread of its own: a terminal that takes no output at the moment (ctrl-S) must not keep a ctrl-C
//! from the command.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    thread::{self, JoinHandle},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::{EfdFlags, EventFd},
        signal::{SigSet, Signal, raise},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::{read, write},
};

use super::{Terminal, outer::Outer, pty};
use crate::confine;

/// The terminal has another size; we go on after we were stopped; we are asked to stop.
const SIGNALS: [Signal; 3] = [Signal::SIGWINCH, Signal::SIGCONT, Signal::SIGTSTP];

/// How long what a command wrote last may be on its way through its terminal, at most, in milliseconds.
const ON_ITS_WAY: u8 = 100;

/// Passes on until it is dropped, which the command's end is the time for.
#[derive(Debug)]
pub(in crate::child) struct Relay {
    outer: Arc<Outer>,
    ended: Arc<EventFd>,
    threads: [Option<JoinHandle<()>>; 2],
}

/// From now on these signals do not interrupt; a [`Relay`] reads them.
pub(super) fn block_signals() -> io::Result<()> {
    Ok(handled().thread_block()?)
}

fn handled() -> SigSet {
    SIGNALS.into_iter().collect()
}

impl Relay {
    /// # Errors
    /// If the kernel gives no descriptors or threads, or does not let our terminal be set.
    pub(in crate::child) fn start(terminal: Terminal) -> io::Result<Self> {
        let Terminal { pty, outer, .. } = terminal;
        let outer = Arc::new(outer);
        let ended = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let (ours, commands) = pty.into_ends();
        let signals = SignalFd::with_flags(&handled(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let keys = Keys { signals, to: ours.try_clone()?, outer: Arc::clone(&outer), ended: Arc::clone(&ended) };
        let output = Output { from: ours, commands, outer: Arc::clone(&outer), ended: Arc::clone(&ended) };
        outer.survive_panics();
        outer.take_keys()?;
        // Dropped, it ends the first thread if there cannot be a second.
        let mut relay = Self { outer, ended, threads: [None, None] };
        let [for_keys, for_output] = &mut relay.threads;
        *for_keys = Some(thread::Builder::new().name("keys".to_owned()).spawn(move || keys.pass())?);
        *for_output = Some(thread::Builder::new().name("output".to_owned()).spawn(move || output.pass())?);
        Ok(relay)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It can only fail where it is set to the utmost already.
        let _ = self.ended.write(1);
        for thread in self.threads.iter_mut().filter_map(Option::take) {
            // It has panicked, and that was said.
            let _ = thread.join();
        }
        self.outer.leave();
    }
}

/// Keys and signals on their way to the command.
struct Keys {
    signals: SignalFd,
    to: OwnedFd,
    outer: Arc<Outer>,
    ended: Arc<EventFd>,
}

impl Keys {
    fn pass(self) {
        confine::writer(None);
        let mut is_there = true;
        let mut buffer = [0; 1024];
        loop {
            let watches_keys = is_there && self.outer.passes_keys();
            let keys = watches_keys.then(|| self.outer.as_fd());
            let Ok([has_ended, has_signal, has_keys]) =
                readable([Some(self.ended.as_fd()), Some(self.signals.as_fd()), keys])
            else {
                return;
            };
            if has_ended {
                return;
            }
            if has_signal {
                self.signal();
            } else if has_keys {
                match read(self.outer.as_fd(), &mut buffer) {
                    Ok(0) => is_there = false,
                    Ok(length) => self.send(&buffer[..length]),
                    Err(Errno::EINTR | Errno::EAGAIN) => {}
                    Err(_) => is_there = false,
                }
            }
        }
    }

    fn signal(&self) {
        match self.signals.read_signal() {
            Ok(Some(info)) if info.ssi_signo == Signal::SIGTSTP as u32 => {
                self.outer.leave();
                // As SIGTSTP does to whoever does not handle it. It is over when somebody lets us go on.
                let _ = raise(Signal::SIGSTOP);
            }
            Ok(Some(_)) => {
                // The terminal may have gone, and then so will we.
                let _ = self.outer.take_keys();
                if let Some(size) = self.outer.size() {
                    let _ = pty::resize(&self.to, size);
                }
            }
            Ok(None) | Err(_) => {}
        }
    }

    /// Waits for the command to take them if it must, but not longer than the command runs.
    fn send(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match write(&self.to, bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let ended = PollFd::new(self.ended.as_fd(), PollFlags::POLLIN);
                    let to = PollFd::new(self.to.as_fd(), PollFlags::POLLOUT);
                    let mut either = [ended, to];
                    let waited = poll(&mut either, PollTimeout::NONE);
                    if waited.is_err_and(|error| error != Errno::EINTR) || either[0].any() == Some(true) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

/// What the command writes, on its way to our terminal.
struct Output {
    from: OwnedFd,
    commands: OwnedFd,
    outer: Arc<Outer>,
    ended: Arc<EventFd>,
}

impl Output {
    fn pass(self) {
        confine::writer(None);
        let Self { from, commands, outer, ended } = self;
        let mut buffer = [0; 4096];
        // Whether there was something.
        let mut pass_on = || match read(&from, &mut buffer) {
            Ok(length @ 1..) => {
                if let Some(modes) = pty::output_modes(&from) {
                    let _ = outer.follow(modes);
                }
                write_all(&outer, &buffer[..length]);
                true
            }
            Err(Errno::EINTR) => true,
            Ok(0) | Err(_) => false,
        };
        loop {
            match readable([Some(ended.as_fd()), Some(from.as_fd()), None]) {
                Ok([_, true, _]) => _ = pass_on(),
                Ok([false, false, _]) => {}
                Ok([true, false, _]) | Err(_) => break,
            }
        }
        // With nobody at that end reading fails when all has been read. A child of the command's may be there still.
        drop(commands);
        while is_readable_soon(&from) && pass_on() {}
    }
}

/// Whoever does not see it any more does not keep the command from writing.
fn write_all(outer: &Outer, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match write(outer, bytes) {
            Ok(length) => bytes = &bytes[length..],
            // Somebody has it set so; it takes more when somebody reads.
            Err(Errno::EAGAIN) => {
                let mut outer = [PollFd::new(outer.as_fd(), PollFlags::POLLOUT)];
                if poll(&mut outer, PollTimeout::NONE).is_err_and(|error| error != Errno::EINTR) {
                    return;
                }
            }
            Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// Waits until one of them can be read, or nobody is at its other end; which ones that is.
fn readable(descriptors: [Option<BorrowedFd<'_>>; 3]) -> nix::Result<[bool; 3]> {
    let mut all: Vec<_> = descriptors.iter().flatten().map(|&fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    while let Err(error) = poll(&mut all, PollTimeout::NONE) {
        if error != Errno::EINTR {
            return Err(error);
        }
    }
    let mut answers = all.iter().map(|fd| fd.any() == Some(true));
    Ok(descriptors.map(|fd| fd.is_some() && answers.next() == Some(true)))
}

fn is_readable_soon(descriptor: &OwnedFd) -> bool {
    poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], ON_ITS_WAY).is_ok_and(|ready| ready > 0)
}
