//! Names of network namespaces, which the kernel knows by inode only.
//!
//! An inode is used again as soon as its namespace is gone, so a name that was taken away (`ip netns del`) is told on
//! only of what certainly belongs to the namespace that had it; see [`past`].

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use lru::LruCache;

use self::{past::Past, scan::Found};
use super::cache::{BELIEVED, KEPT};
use crate::host::clock::mono_now;

mod past;
mod scan;

/// A namespace without a name is looked for ever less often: a search reads all of `/proc`, and sandboxes
/// of browsers and services never get a name.
const LONGEST_WAIT: Duration = Duration::from_secs(16);

/// An event in a namespace, and what tells that it is the same as before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sighting {
    /// The namespace's inode.
    pub inode: u32,
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub mono_ns: u64,
    /// The socket's cookie, or 0.
    pub cookie: u64,
    /// The owner's process id, or 0.
    pub pid: u32,
}

/// The namespaces that were asked for.
pub(super) struct Namespaces {
    known: LruCache<u32, Known>,
    /// All that the last search found, and when it ended.
    last: Option<(Instant, HashMap<u32, Found>)>,
}

struct Known {
    found: Option<Found>,
    checked: Instant,
    wait: Duration,
    /// The name that it has, or had last, and what was seen of it then.
    past: Option<Past>,
    /// What was said last.
    told: Option<Arc<str>>,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self { known: LruCache::new(KEPT), last: None }
    }
}

impl Namespaces {
    /// What the namespace of an event is called. Tells `learned` each answer that differs from the last one about
    /// this inode.
    pub(super) fn name(&mut self, seen: &Sighting, learned: impl FnOnce(Option<&str>)) -> Option<Arc<str>> {
        let is_due = self.known.get(&seen.inode).is_none_or(|known| known.checked.elapsed() >= known.wait);
        if is_due {
            self.check(seen.inode);
        }
        let known = self.known.get_mut(&seen.inode)?;
        let name = known.name(seen);
        if name != known.told {
            learned(name.as_deref());
            known.told.clone_from(&name);
        }
        name
    }

    /// Looks whether what is known of an inode still holds.
    fn check(&mut self, inode: u32) {
        let before = self.known.pop(&inode);
        let now = mono_now();
        // The inode may be another namespace's by now.
        if let Some(mut known) = before {
            if known.found.as_ref().is_some_and(|found| scan::is_still(&found.file, inode)) {
                known.checked = Instant::now();
                known.past.iter_mut().for_each(|past| past.verify(now));
                self.known.put(inode, known);
                return;
            }
            let wait = if known.found.is_some() { BELIEVED } else { (known.wait * 2).min(LONGEST_WAIT) };
            known.found = self.search(inode);
            known.wait = BELIEVED;
            match (&known.found, &mut known.past) {
                (Some(found), Some(past)) if past.is_called(&found.name) => past.verify(now),
                (Some(found), past) => *past = Some(Past::new(found.name.clone(), now)),
                (None, past) => {
                    if !past.as_mut().is_some_and(|past| past.lives_on(inode)) {
                        known.wait = wait;
                    }
                }
            }
            known.checked = Instant::now();
            self.known.put(inode, known);
            return;
        }
        let found = self.search(inode);
        let past = found.as_ref().map(|found| Past::new(found.name.clone(), now));
        self.known.put(inode, Known { found, checked: Instant::now(), wait: BELIEVED, past, told: None });
    }

    fn search(&mut self, inode: u32) -> Option<Found> {
        if scan::initial() == Some(inode) || inode == scan::INITIAL {
            return None;
        }
        let last = self.last.take().filter(|(at, _)| at.elapsed() < BELIEVED);
        let (_, all) = self.last.insert(last.unwrap_or_else(|| {
            let all = scan::all();
            (Instant::now(), all)
        }));
        all.get(&inode).filter(|found| scan::is_still(&found.file, inode)).cloned()
    }
}

impl Known {
    fn name(&mut self, seen: &Sighting) -> Option<Arc<str>> {
        let past = self.past.as_mut()?;
        if self.found.is_some() {
            past.saw(seen);
            return Some(past.name());
        }
        past.is_of(seen).then(|| past.name())
    }
}

#[cfg(test)]
mod tests;
