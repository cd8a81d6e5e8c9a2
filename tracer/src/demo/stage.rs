//! What a scenario is played on: hosts, the wire between them, the probes' events, and a deadline.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::bail;
use nix::time::{ClockId, clock_gettime};

use crate::{
    demo::feed::Feed,
    testbed::{
        capture::{Capture, Tap},
        host::Host,
        wire::Wire,
    },
};
use crate::{
    event::{Body, Context, Event, Family, Lookup, Observed, Pid, Table, Task, TcpState},
    host::sock_diag,
    kernel::probes::Probe,
};

/// The addresses of the two hosts; they exist in private namespaces only.
const ADDRESSES_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 115, 20, 30), Ipv4Addr::new(10, 115, 20, 40)];
const ADDRESSES_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x30), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x40)];

/// Makes the probes report on a network namespace, given by its inode.
pub type Watch = Box<dyn Fn(u32) -> anyhow::Result<()> + Send + Sync>;
/// Puts an event among those that the probes report; it comes back through the [`Feed`].
pub type Publish = Box<dyn Fn(Event) + Send + Sync>;

/// What the surroundings of a scenario provide.
pub struct Settings {
    /// The scenario's name, which its events carry.
    pub scenario: &'static str,
    /// Address family to play in.
    pub family: Family,
    /// The events of this scenario's namespaces.
    pub feed: Feed,
    /// Called for each namespace before anything is sent in it.
    pub watch: Watch,
    /// Called for each lookup that is run again through sock_diag.
    pub publish: Publish,
    /// What the probes see. Nothing else is waited for, and lookups that they see are not run again.
    pub observed: BTreeSet<Probe>,
    /// Capture what the hosts send.
    pub capture: bool,
    /// Longest time that the scenario may take.
    pub within: Duration,
}

/// The stage of one scenario, from its making until its deadline.
pub struct Stage {
    settings: Settings,
    deadline: Instant,
    taps: Mutex<Vec<Tap>>,
}

/// Two hosts and the wire between them.
#[derive(Debug)]
pub struct Network {
    /// The wire; it goes first when the network is taken down.
    pub wire: Wire,
    /// The hosts, in the order in which they were named.
    pub hosts: [Host; 2],
}

impl Stage {
    /// A stage; the time that the scenario may take starts to run.
    pub fn new(settings: Settings) -> Self {
        let deadline = Instant::now() + settings.within;
        Self { settings, deadline, taps: Mutex::default() }
    }

    /// The events of this scenario so far.
    pub fn events(&self) -> Vec<Event> {
        self.settings.feed.events()
    }

    /// When the scenario must be over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long the scenario may go on.
    pub fn left(&self) -> Duration {
        // A socket's timeout must not be zero: that would mean none.
        self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    /// The address family that is played in.
    pub fn family(&self) -> Family {
        self.settings.family
    }

    /// The address of the first or second host, with a port.
    pub fn endpoint(&self, host: usize, port: u16) -> SocketAddr {
        SocketAddr::new(self.address(host), port)
    }

    /// Makes a host that the probes watch.
    ///
    /// # Errors
    /// See [`Host::new`]; or the probes cannot watch it.
    pub fn host(&self, name: &'static str) -> anyhow::Result<Host> {
        let host = Host::new(name)?;
        (self.settings.watch)(host.netns())?;
        if self.settings.capture {
            let tap = Tap::open(&host)?;
            self.taps.lock().unwrap_or_else(PoisonError::into_inner).push(tap);
        }
        Ok(host)
    }

    /// Makes two hosts and joins them by a wire.
    ///
    /// # Errors
    /// See [`Stage::host`] and [`Wire::join`].
    pub fn network(&self, names: [&'static str; 2]) -> anyhow::Result<Network> {
        let hosts = [self.host(names[0])?, self.host(names[1])?];
        let wire = Wire::join([(&hosts[0], self.address(0)), (&hosts[1], self.address(1))])?;
        Ok(Network { wire, hosts })
    }

    /// The first event, past or to come, that `wanted` accepts; `probe` is what reports it.
    ///
    /// # Errors
    /// None by the deadline, or there cannot be any.
    pub fn wait(&self, probe: Probe, what: &'static str, wanted: impl FnMut(&Event) -> bool) -> anyhow::Result<Event> {
        if !self.observes(probe) {
            bail!("{what} cannot be seen: {} is not observed", probe.name());
        }
        Ok(self.settings.feed.wait(what, self.left(), wanted)?)
    }

    /// Waits until that many sockets of the host have gone to CLOSE.
    ///
    /// # Errors
    /// They have not by the deadline.
    pub fn wait_closed(&self, host: &Host, sockets: usize) -> anyhow::Result<()> {
        let mut closed = 0;
        let netns = host.netns();
        self.wait(Probe::State, "the end of a socket", |event| {
            let closes = matches!(&event.body, Body::State(state) if state.new == TcpState::CLOSE);
            closed += usize::from(closes && event.netns == Some(netns));
            closed == sockets
        })?;
        Ok(())
    }

    /// Publishes what a segment from `remote` to `local` meets in the host's tables now, unless the
    /// probes report such lookups themselves.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    pub fn look_up(&self, host: &Host, local: SocketAddr, remote: SocketAddr) -> anyhow::Result<()> {
        if self.observes(Probe::LookupEhash) && self.observes(Probe::LookupListener) {
            return Ok(());
        }
        let (found, task, mono_ns) = host.run(move || {
            let found = sock_diag::lookup(local, remote)?;
            Ok((
                found,
                current_task(),
                u64::try_from(Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?).as_nanos())?,
            ))
        })?;
        let time = jiff::Timestamp::now();
        let found = found.map(|socket| (socket.state, socket.cookie));
        for (table, found) in searches(found) {
            (self.settings.publish)(Event {
                body: Body::Lookup(Lookup {
                    table,
                    hit: found.is_some(),
                    state: found.map(|(state, _)| state),
                    observed: Observed::SockDiag,
                }),
                time,
                mono_ns,
                netns: Some(host.netns()),
                netns_name: None,
                family: self.settings.family,
                local,
                remote,
                cookie: found.map(|(_, cookie)| cookie),
                context: Context::Process,
                task: task.clone(),
                owner: None,
                opened: None,
                unremembered: false,
                scenario: Some(self.settings.scenario),
                filtered_out: false,
                sock: 0,
            });
        }
        Ok(())
    }

    /// What the hosts have sent, one capture a host; empty unless the stage captures.
    ///
    /// # Errors
    /// A capture cannot be read.
    pub fn captures(&self) -> anyhow::Result<Vec<Capture>> {
        self.taps.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Tap::read).collect()
    }

    fn observes(&self, probe: Probe) -> bool {
        self.settings.observed.contains(&probe)
    }

    fn address(&self, host: usize) -> IpAddr {
        match self.settings.family {
            Family::Ipv4 => ADDRESSES_V4[host].into(),
            Family::Ipv6 => ADDRESSES_V6[host].into(),
        }
    }
}

/// The searches behind a result: the established hash first, and only after a miss the listeners.
fn searches(found: Option<(TcpState, u64)>) -> Vec<(Table, Option<(TcpState, u64)>)> {
    match found {
        Some((TcpState::LISTEN, _)) | None => vec![(Table::Ehash, None), (Table::Listener, found)],
        Some(_) => vec![(Table::Ehash, found)],
    }
}

fn current_task() -> Task {
    Task {
        pid: Pid::of_record(std::process::id()),
        tid: Pid::of_record(nix::unistd::gettid().as_raw().unsigned_abs()),
        comm: std::thread::current().name().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_only_after_a_miss() {
        let listener = Some((TcpState::LISTEN, 1));
        assert_eq!(searches(listener), [(Table::Ehash, None), (Table::Listener, listener)]);
        assert_eq!(searches(None), [(Table::Ehash, None), (Table::Listener, None)]);
        let established = Some((TcpState::ESTABLISHED, 1));
        assert_eq!(searches(established), [(Table::Ehash, established)]);
    }
}
