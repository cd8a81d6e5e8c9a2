//! Accept queues that are full: whether connections find them so, the kernel only counts, for each network namespace.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use tracer_ebpf::record::{Header, Queue};

use crate::host::snmp;

/// How often the counters are read while a queue may be full, in nanoseconds.
const INTERVAL: u64 = 500_000_000;
/// How often it is told of one listener.
const TELL_INTERVAL: u64 = 10_000_000_000;
/// Listeners that are watched, and namespaces.
const MOST: usize = 256;

/// A listener: its namespace, address and port.
type Place = (u32, [u8; 16], u16);

/// A listener whose queue was full.
struct Full {
    queue: Queue,
    /// When it was told, 0 if it was not.
    told_ns: u64,
}

/// What a namespace counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    overflows: u64,
    drops: u64,
}

/// Where a namespace's counters are, and what they were when they were told.
struct Counters {
    /// A process that is in it, under /proc.
    process: PathBuf,
    netns: u32,
    told: Counts,
}

/// Listeners whose queues were full.
#[derive(Default)]
pub(super) struct Queues {
    full: HashMap<Place, Full>,
    counters: HashMap<u32, Counters>,
    /// To be told.
    due: VecDeque<Queue>,
    read_ns: u64,
}

impl Queues {
    /// The programs saw a queue full.
    pub(super) fn note(&mut self, queue: &Queue) {
        let Header { netns, local_addr, local_port, .. } = queue.header;
        let place = (netns, local_addr, local_port);
        if self.full.len() >= MOST && !self.full.contains_key(&place) {
            return;
        }
        if !self.counters.contains_key(&netns)
            && let Some(counters) = Counters::of(netns, &queue.header)
        {
            self.counters.insert(netns, counters);
        }
        let full = self.full.entry(place).or_insert(Full { queue: *queue, told_ns: 0 });
        let dropped = full.queue.dropped | queue.dropped;
        full.queue = Queue { dropped, ..*queue };
        // It is told at once.
        self.read_ns = 0;
    }

    /// The next listener that connections found full, if there is one.
    pub(super) fn overflow(&mut self, now: u64) -> Option<Queue> {
        if self.due.is_empty() && !self.full.is_empty() && now.saturating_sub(self.read_ns) >= INTERVAL {
            self.read_ns = now;
            self.read(now, TELL_INTERVAL);
        }
        self.due.pop_front()
    }

    /// What is still to be told is told now.
    pub(super) fn stop(&mut self, now: u64) {
        self.read(now, 0);
    }

    /// `interval`: how often one is told.
    fn read(&mut self, now: u64, interval: u64) {
        let Self { full, counters, due, .. } = self;
        counters.retain(|netns, counters| {
            let of_it = || full.iter().filter(|((of, ..), _)| of == netns);
            // The namespace is gone, or the process by which it is read.
            let Some(counts) = counters.read() else { return false };
            let is_due = of_it().any(|(_, full)| now.saturating_sub(full.told_ns) >= interval || full.told_ns == 0);
            let overflows = counts.overflows.saturating_sub(counters.told.overflows);
            let drops = counts.drops.saturating_sub(counters.told.drops);
            let listeners = of_it().count() as u32;
            // Where one was seen to be it, it is.
            let is_seen = of_it().any(|(_, full)| full.queue.dropped != 0);
            if !is_due || overflows == 0 && !is_seen {
                return true;
            }
            for (_, full) in
                full.iter_mut().filter(|((of, ..), full)| of == netns && (!is_seen || full.queue.dropped != 0))
            {
                let mut queue = Queue { overflows, drops, listeners, counted: 1, ..full.queue };
                queue.header.mono_ns = now;
                due.push_back(queue);
                full.told_ns = now;
                full.queue.dropped = 0;
            }
            counters.told = counts;
            true
        });
        full.retain(|(netns, ..), _| counters.contains_key(netns));
    }
}

impl Counters {
    /// Counters of a namespace, read from /proc of the listener's owner, or of any process in that namespace.
    fn of(netns: u32, listener: &Header) -> Option<Self> {
        // A thread's namespace may be another than its process's.
        let owner = [listener.owner.tid, listener.owner.pid].map(|id| PathBuf::from(format!("/proc/{id}")));
        let others = || fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
        let is_in = |process: &PathBuf| is_in(process, netns);
        let process = owner.into_iter().find(is_in).or_else(|| others().find(is_in))?;
        let mut counters = Self { process, netns, told: Counts::default() };
        counters.told = counters.read()?;
        Some(counters)
    }

    fn read(&self) -> Option<Counts> {
        // Its id may be another one's by now.
        if !is_in(&self.process, self.netns) {
            return None;
        }
        let text = fs::read_to_string(self.process.join("net/netstat")).ok()?;
        let counter = |name| snmp::counter(&text, "TcpExt", name);
        Some(Counts { overflows: counter("ListenOverflows")?, drops: counter("ListenDrops")? })
    }
}

fn is_in(process: &Path, netns: u32) -> bool {
    fs::metadata(process.join("ns/net")).is_ok_and(|file| file.ino() == u64::from(netns))
}
