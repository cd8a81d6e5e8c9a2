//! A name that a namespace has or had, and what was seen there while it had it.
//!
//! Once the name is gone, an event is told to be of that namespace if it happened before, if its socket was there
//! before (a socket never moves), if its owner is a process that was there before and has not moved, or while any such
//! process lives: that keeps the namespace, and so its inode.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use lru::LruCache;

use super::{Sighting, scan};
use crate::pipeline::enrich::host_facts::older;

/// Sockets that are remembered of a namespace.
const SOCKETS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Processes that are remembered of it.
const PROCESSES: NonZeroUsize = NonZeroUsize::new(16).unwrap();

pub(super) struct Past {
    name: Arc<str>,
    /// `CLOCK_MONOTONIC` at which it was certainly called so.
    pub(super) verified_ns: u64,
    /// Cookies.
    sockets: LruCache<u64, ()>,
    /// Process ids, with the time that they started at.
    processes: LruCache<u32, Option<u64>>,
    /// One of the processes was still in it when that was looked at last.
    lives_on: bool,
}

impl Past {
    pub(super) fn new(name: Arc<str>, verified_ns: u64) -> Self {
        let (sockets, processes) = (LruCache::new(SOCKETS), LruCache::new(PROCESSES));
        Self { name, verified_ns, sockets, processes, lives_on: true }
    }

    pub(super) fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// It was called so until now, at least.
    pub(super) fn verify(&mut self, now: u64) {
        (self.verified_ns, self.lives_on) = (now, true);
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        *self.name == *name
    }

    /// It has the name, and this happens there.
    pub(super) fn saw(&mut self, seen: &Sighting) {
        if seen.cookie != 0 {
            self.sockets.put(seen.cookie, ());
        }
        if seen.pid != 0 {
            self.processes.get_or_insert(seen.pid, || started(seen.pid).filter(|_| is_in(seen.pid, seen.inode)));
        }
    }

    /// Looks whether a process that was there still is. From the first time on that none is, the inode may be another
    /// namespace's.
    pub(super) fn lives_on(&mut self, inode: u32) -> bool {
        let mut processes = self.processes.iter();
        self.lives_on = self.lives_on
            && processes.any(|(&pid, start)| start.is_some() && started(pid) == *start && is_in(pid, inode));
        self.lives_on
    }

    /// The name is gone: whether this is of the namespace that had it.
    pub(super) fn is_of(&mut self, seen: &Sighting) -> bool {
        let is_of = self.lives_on
            || seen.mono_ns <= self.verified_ns
            || self.sockets.contains(&seen.cookie)
            || self.was_there(seen);
        if is_of && seen.cookie != 0 {
            self.sockets.put(seen.cookie, ());
        }
        is_of
    }
}

impl Past {
    /// The owner is a process that was there, and is there or has ended.
    fn was_there(&self, seen: &Sighting) -> bool {
        let Some(Some(start)) = self.processes.peek(&seen.pid) else { return false };
        started(seen.pid).is_none_or(|now| now == *start && is_in(seen.pid, seen.inode))
    }
}

fn is_in(pid: u32, inode: u32) -> bool {
    scan::is_still(&PathBuf::from(format!("/proc/{pid}/ns/net")), inode)
}

/// When a process started: with its id, that is one process only.
fn started(pid: u32) -> Option<u64> {
    older::stat(pid).map(|stat| stat.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_sockets_and_processes_are_remembered() {
        let mut past = Past::new("blue".into(), 0);
        for number in 1..=5000 {
            // There are no such processes.
            past.saw(&Sighting { inode: 1, mono_ns: 1, cookie: number, pid: (1 << 23) + number as u32 });
        }
        assert_eq!([past.sockets.len(), past.processes.len()], [SOCKETS.get(), PROCESSES.get()]);
        past.lives_on = false;
        let of = |cookie| Sighting { mono_ns: 2, cookie, ..Sighting::default() };
        assert!(past.is_of(&of(5000)) && !past.is_of(&of(1)));
    }
}
