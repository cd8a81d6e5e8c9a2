//! Is this all? The kernel counts, in each network namespace, the RSTs that it sends (OutRsts) and the connections
//! that end abruptly (EstabResets), whoever reports them.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    net::SocketAddr,
    num::NonZeroUsize,
    os::unix::fs::MetadataExt as _,
};

use lru::LruCache;

use crate::{
    event::{Body, Direction, Event, RstKind, TcpState},
    host::snmp,
    pipeline::diagnose::reason,
    report::{Counter, Unaccounted},
};

/// Connections that are remembered as counted: what is reported of one comes within moments.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

/// What the kernel counts, by namespace.
type Counts = BTreeMap<(u32, Counter), u64>;

/// The counters at the start, and what was reported since.
pub(super) struct Accounts {
    /// None where a filter leaves RSTs out, and nothing can be compared.
    start: Option<Counts>,
    end: Counts,
    reported: HashMap<(u32, Counter), u64>,
    ended: LruCache<Connection, ()>,
}

/// Its cookie where it has one, else its socket's address; and its two ends.
type Connection = (u64, SocketAddr, SocketAddr);

impl Accounts {
    /// Reads the counters; all must be observed by now. `is_whole`: all RSTs of the namespaces are reported.
    pub(super) fn open(is_whole: bool) -> Self {
        Self {
            start: is_whole.then(counts),
            end: Counts::new(),
            reported: HashMap::new(),
            ended: LruCache::new(REMEMBERED),
        }
    }

    /// An event that is reported.
    pub(super) fn saw(&mut self, event: &Event) {
        let Some(netns) = event.netns.filter(|_| self.start.is_some()) else { return };
        // A packet filter's are no segments of TCP's.
        if let Body::Rst(rst) = &event.body
            && rst.direction == Direction::Sent
            && rst.kind != RstKind::Firewall
        {
            *self.reported.entry((netns, Counter::OutRsts)).or_default() += 1;
        }
        // An abort shows in several events.
        if ends_abruptly(&event.body)
            && let connection = (event.cookie.unwrap_or(event.sock), event.local, event.remote)
            && self.ended.put(connection, ()).is_none()
        {
            *self.reported.entry((netns, Counter::EstabResets)).or_default() += 1;
        }
    }

    /// Reads the counters again. Until then all must be observed: what comes later is reported, and not counted.
    pub(super) fn stop(&mut self) {
        if self.start.is_some() {
            self.end = counts();
        }
    }

    /// What the kernel has counted and nobody reported.
    pub(super) fn close(&mut self) -> Vec<Unaccounted> {
        let Some(start) = self.start.take() else { return Vec::new() };
        let difference = |(key, counted): ((u32, Counter), u64)| {
            // A namespace that is newer than the trace started from 0.
            let counted = counted.saturating_sub(start.get(&key).copied().unwrap_or(0));
            let reported = self.reported.get(&key).copied().unwrap_or(0);
            let (netns, counter) = key;
            (counted > reported).then_some(Unaccounted { netns, counter, counted, reported })
        };
        std::mem::take(&mut self.end).into_iter().filter_map(difference).collect()
    }
}

/// Tells, by itself, that a connection goes from one of these states to CLOSE (tcp_set_state in net/ipv4/tcp.c counts
/// those). Not all are reported by their state change.
fn ends_abruptly(body: &Body) -> bool {
    match body {
        Body::State(state) => state.new == TcpState::CLOSE && state.old.is_open(),
        Body::Close(close) => close.old.is_open(),
        Body::Rst(rst) => {
            matches!(rst.kind, RstKind::Active | RstKind::Peer) && reason::state(rst).is_some_and(TcpState::is_open)
        }
        _ => false,
    }
}

/// The counters of each namespace that a process is in.
fn counts() -> Counts {
    let mut all = Counts::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = process.path();
        // Whatever is no process has no such file.
        let Ok(netns) = fs::metadata(path.join("ns/net")) else { continue };
        let Ok(inode) = u32::try_from(netns.ino()) else { continue };
        if all.contains_key(&(inode, Counter::OutRsts)) {
            continue;
        }
        let Ok(snmp) = fs::read_to_string(path.join("net/snmp")) else { continue };
        for counter in Counter::ALL {
            all.extend(snmp::counter(&snmp, "Tcp", counter.name()).map(|count| ((inode, counter), count)));
        }
    }
    all
}
