//! The wire between two hosts: a thread that carries TCP segments from one TUN device to the other.
//!
//! It can hold segments back, which makes orders certain that a real network leaves to chance: both
//! SYNs of a simultaneous open are under way before either arrives.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::IpAddr,
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{Builder, JoinHandle},
    time::Instant,
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::{host::Host, segment::Packet, tun};

/// Which segments to hold.
pub type Wanted = fn(&Packet) -> bool;

/// Both ends' TUN devices and the thread between them. Dropping it removes the devices.
#[derive(Debug)]
pub struct Wire {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    kick: EventFd,
}

#[derive(Debug, Default)]
struct State {
    hold: Option<Wanted>,
    held: Vec<InFlight>,
    delivered: Vec<Packet>,
    stop: bool,
    failed: Option<String>,
}

/// A segment and the end that it is going to.
#[derive(Debug, Clone)]
struct InFlight {
    to: usize,
    packet: Packet,
}

impl Wire {
    /// Joins two hosts, each with the address given here, by a wire that holds nothing back.
    ///
    /// # Errors
    /// A TUN device cannot be made, or the thread not started.
    pub fn join(ends: [(&Host, IpAddr); 2]) -> anyhow::Result<Self> {
        let [a, b] = ends.map(|(host, address)| host.run(move || tun::open(address)));
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            kick: EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?,
        });
        let carrier = Carrier { ends: [a?, b?], shared: Arc::clone(&shared) };
        let thread = Builder::new()
            .name("wire".to_owned())
            .spawn(move || carrier.run())
            .context("cannot start the wire's thread")?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// From now on keeps the segments that `wanted` accepts, until [`Wire::release`].
    pub fn hold(&self, wanted: Wanted) {
        self.shared.lock().hold = Some(wanted);
    }

    /// Delivers what is held, in the order in which it was sent, and holds nothing more.
    ///
    /// # Errors
    /// The wire's thread cannot be told.
    pub fn release(&self) -> anyhow::Result<()> {
        self.shared.lock().hold = None;
        self.shared.kick.write(1).context("cannot wake the wire")?;
        Ok(())
    }

    /// Waits until the held segments, oldest first, satisfy `complete`, and returns them.
    ///
    /// # Errors
    /// They do not by `deadline`, or the wire has failed.
    pub fn wait_held(
        &self,
        what: &str,
        deadline: Instant,
        complete: impl Fn(&[Packet]) -> bool,
    ) -> anyhow::Result<Vec<Packet>> {
        self.wait(what, deadline, |state| {
            let held: Vec<Packet> = state.held.iter().map(|held| held.packet.clone()).collect();
            complete(&held).then_some(held)
        })
    }

    /// Waits until a segment that `wanted` accepts has been handed to the host it is for.
    ///
    /// # Errors
    /// There is none by `deadline`, or the wire has failed.
    pub fn wait_delivered(&self, what: &str, deadline: Instant, wanted: Wanted) -> anyhow::Result<Packet> {
        self.wait(what, deadline, |state| state.delivered.iter().find(|packet| wanted(packet)).cloned())
    }

    /// All segments that were handed to their hosts so far, oldest first.
    pub fn delivered(&self) -> Vec<Packet> {
        self.shared.lock().delivered.clone()
    }

    fn wait<T>(&self, what: &str, deadline: Instant, ready: impl Fn(&State) -> Option<T>) -> anyhow::Result<T> {
        let mut state = self.shared.lock();
        loop {
            if let Some(value) = ready(&state) {
                return Ok(value);
            }
            if let Some(failed) = &state.failed {
                bail!("the wire failed: {failed}");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("waited too long for {what} on the wire");
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        // An eventfd's write fails only when its counter is full, and then the thread wakes anyway.
        let _ = self.shared.kick.write(1);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's side.
struct Carrier {
    ends: [File; 2],
    shared: Arc<Shared>,
}

impl Carrier {
    fn run(mut self) {
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
            // A SYN that waits long is sent again (RFC 6298): one of them is enough.
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

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use super::*;
    use crate::{demo::tcp, event::TcpState, sock_diag};

    const TIMEOUT: Duration = Duration::from_secs(2);

    /// Both SYNs cross, so both ends are established and nobody has listened.
    fn crossing(left: &str, right: &str) -> anyhow::Result<()> {
        let hosts = [Host::new("left")?, Host::new("right")?];
        let [left, right]: [SocketAddr; 2] = [left.parse()?, right.parse()?];
        let wire = Wire::join([(&hosts[0], left.ip()), (&hosts[1], right.ip())])?;
        wire.hold(Packet::is_syn);
        let connect = |host: &Host, local, remote| {
            host.run(move || {
                let socket = tcp::bound(local, TIMEOUT)?;
                tcp::start_connect(&socket, remote)?;
                Ok(socket)
            })
        };
        let sockets = [connect(&hosts[0], left, right)?, connect(&hosts[1], right, left)?];
        let held = wire.wait_held("both SYNs", Instant::now() + TIMEOUT, |held| held.len() == 2)?;
        assert_ne!(held[0].source, held[1].source);
        wire.release()?;
        for socket in &sockets {
            tcp::connected(socket)??;
            assert_eq!(tcp::state(socket)?, TcpState::ESTABLISHED);
        }
        for host in &hosts {
            host.run(|| {
                let all = [sock_diag::list(crate::event::Family::Ipv4)?, sock_diag::list(crate::event::Family::Ipv6)?];
                assert!(all.concat().iter().all(|socket| socket.state != TcpState::LISTEN));
                Ok(())
            })?;
        }
        Ok(())
    }

    #[test]
    #[ignore = "needs root"]
    fn held_syns_cross_every_time() {
        for _ in 0..50 {
            crossing("10.115.20.30:1234", "10.115.20.40:4321").unwrap();
            crossing("[2001:db8::30]:1234", "[2001:db8::40]:4321").unwrap();
        }
    }

    #[test]
    #[ignore = "needs root"]
    fn what_does_not_come_is_an_error() {
        let hosts = [Host::new("left").unwrap(), Host::new("right").unwrap()];
        let ends = [(&hosts[0], "10.0.0.1".parse().unwrap()), (&hosts[1], "10.0.0.2".parse().unwrap())];
        let wire = Wire::join(ends).unwrap();
        let error = wire.wait_held("a SYN", Instant::now(), |held| !held.is_empty()).unwrap_err();
        assert_eq!(error.to_string(), "waited too long for a SYN on the wire");
    }
}
