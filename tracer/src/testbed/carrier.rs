//! The wire's thread: reads what either host sends, and holds or delivers it.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::EventFd,
};

use crate::testbed::segment::Packet;

/// Which segments to hold.
pub(super) type Wanted = fn(&Packet) -> bool;

/// What the wire's owner and its thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Signalled when the thread has held or delivered something, or failed.
    pub(super) changed: Condvar,
    /// Wakes the thread after a change that it must act on.
    pub(super) kick: EventFd,
}

/// Orders to the thread, and what it has done.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Segments to keep back.
    pub(super) hold: Option<Wanted>,
    /// Segments kept back, in the order in which they were sent.
    pub(super) held: Vec<InFlight>,
    /// Segments handed over, in the order in which they were sent.
    pub(super) delivered: Vec<Packet>,
    /// The thread is to end.
    pub(super) stop: bool,
    /// Why it ended by itself.
    pub(super) failed: Option<String>,
}

/// A segment and the end that it is going to.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    to: usize,
    pub(super) packet: Packet,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread between the hosts.
pub(super) struct Carrier {
    /// The hosts' TUN devices.
    pub(super) ends: [File; 2],
    /// What the wire's owner asks for and is told.
    pub(super) shared: Arc<Shared>,
}

impl Carrier {
    /// Carries segments until told to stop.
    pub(super) fn run(mut self) {
        if let Err(error) = self.carry() {
            self.shared.lock().failed = Some(format!("{error:#}"));
            self.shared.changed.notify_all();
        }
    }

    fn carry(&mut self) -> anyhow::Result<()> {
        let mut buffer = vec![0; 65_536];
        loop {
            self.wait_for_work()?;
            if self.shared.lock().stop {
                return Ok(());
            }
            self.deliver_released()?;
            for from in 0..2 {
                while let Some(packet) = receive(&mut self.ends[from], &mut buffer)? {
                    self.accept(InFlight { to: 1 - from, packet })?;
                }
            }
        }
    }

    fn wait_for_work(&self) -> anyhow::Result<()> {
        let [a, b] = &self.ends;
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [readable(a.as_fd()), readable(b.as_fd()), readable(self.shared.kick.as_fd())];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for packets"),
        }
        match self.shared.kick.read() {
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(error) => Err(error).context("cannot read the wire's wake-up"),
        }
    }

    /// Holds the segment back or delivers it.
    fn accept(&mut self, segment: InFlight) -> anyhow::Result<()> {
        let mut state = self.shared.lock();
        if state.hold.is_some_and(|wanted| wanted(&segment.packet)) {
            // A SYN that waits long is retransmitted (RFC 6298): one of them is enough.
            if !state.held.iter().any(|held| segment.packet.repeats(&held.packet)) {
                state.held.push(segment);
                self.shared.changed.notify_all();
            }
            return Ok(());
        }
        drop(state);
        // What was released a moment ago was sent earlier.
        self.deliver_released()?;
        self.deliver(segment)
    }

    fn deliver_released(&mut self) -> anyhow::Result<()> {
        let released = {
            let mut state = self.shared.lock();
            if state.hold.is_some() { Vec::new() } else { std::mem::take(&mut state.held) }
        };
        released.into_iter().try_for_each(|segment| self.deliver(segment))
    }

    fn deliver(&mut self, segment: InFlight) -> anyhow::Result<()> {
        self.ends[segment.to].write_all(&segment.packet.bytes).context("cannot deliver a packet")?;
        self.shared.lock().delivered.push(segment.packet);
        self.shared.changed.notify_all();
        Ok(())
    }
}

/// The next TCP segment that a host has sent, if there is one now.
///
/// What else a host sends of its own accord (IPv6 multicast listener reports and the like) ends here.
fn receive(end: &mut File, buffer: &mut [u8]) -> anyhow::Result<Option<Packet>> {
    loop {
        match end.read(buffer) {
            Ok(len) => {
                if let Some(packet) = Packet::parse(&buffer[..len]) {
                    return Ok(Some(packet));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("cannot read a packet"),
        }
    }
}
