//! The wire between two hosts: a thread that carries TCP segments from one TUN device to the other.
//!
//! It can hold segments back, which makes orders certain that a real network leaves to chance: both
//! SYNs of a simultaneous open are under way before either arrives.

use std::{
    net::IpAddr,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{Builder, JoinHandle},
    time::Instant,
};

use anyhow::{Context as _, bail};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::testbed::{
    carrier::{Carrier, Shared, State, Wanted},
    host::Host,
    segment::Packet,
    tun,
};

/// Both ends' TUN devices and the thread between them. Dropping it removes the devices.
#[derive(Debug)]
pub struct Wire {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
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

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use super::*;
    use crate::{event::TcpState, host::sock_diag, testbed::tcp};

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
