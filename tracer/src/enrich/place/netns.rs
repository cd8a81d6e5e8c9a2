//! Names of network namespaces, which the kernel knows by inode only.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use lru::LruCache;

use self::scan::Found;
use super::cache::{BELIEVED, KEPT};

mod scan;

/// A namespace without a name is looked for ever less often: a search reads all of `/proc`, and sandboxes
/// of browsers and services never get a name.
const LONGEST_WAIT: Duration = Duration::from_secs(16);

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
}

impl Default for Namespaces {
    fn default() -> Self {
        Self { known: LruCache::new(KEPT), last: None }
    }
}

impl Namespaces {
    /// What the namespace with this inode is called. Tells `learned` each name that is new.
    pub(super) fn name(&mut self, inode: u32, learned: impl FnOnce(&str)) -> Option<Arc<str>> {
        let known = self.known.get_mut(&inode);
        let (mut before, mut wait) = (None, BELIEVED);
        if let Some(known) = known {
            if known.checked.elapsed() < known.wait {
                return known.name();
            }
            // The inode may be another namespace's by now.
            if known.found.as_ref().is_some_and(|found| scan::is_still(&found.file, inode)) {
                known.checked = Instant::now();
                return known.name();
            }
            before = known.name();
            if before.is_none() {
                wait = (known.wait * 2).min(LONGEST_WAIT);
            }
        }
        let found = self.search(inode);
        if found.is_some() {
            wait = BELIEVED;
        }
        let known = Known { found, checked: Instant::now(), wait };
        let name = known.name();
        if let Some(name) = &name
            && before.as_ref() != Some(name)
        {
            learned(name);
        }
        self.known.put(inode, known);
        name
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
    fn name(&self) -> Option<Arc<str>> {
        self.found.as_ref().map(|found| found.name.clone())
    }
}

#[cfg(test)]
mod tests;
