//! Owners of sockets, with what this host calls their numbers.

use std::num::NonZeroUsize;

use lru::LruCache;
use tracer_ebpf::record::{self, OWNER_HELD, OWNER_LISTENED, OWNER_UNKNOWN};
use zerocopy::IntoBytes as _;

use super::place::{self, Places};
use crate::event::{Known, Owner, Shared};

/// Processes remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// What is known of processes.
pub(super) struct Owners {
    /// Arguments as the kernel had them when the process was first seen, by process id.
    arguments: LruCache<u32, Option<String>>,
    /// The owners made of records, by the record.
    made: LruCache<[u8; size_of::<record::Owner>()], Shared<Owner>>,
}

impl Default for Owners {
    fn default() -> Self {
        Self { arguments: LruCache::new(REMEMBERED), made: LruCache::new(REMEMBERED) }
    }
}

impl Owners {
    /// A process is seen for the first time, or has changed its program.
    pub(super) fn learn(&mut self, process: &record::Process) {
        let pid = process.header.owner.pid;
        let length = process.length as usize;
        let arguments = match process.arguments.get(..length) {
            _ if length == 0 => None,
            Some(whole) => Some(place::join_arguments(whole)),
            None => Some(place::join_arguments(&process.arguments[..record::ARGUMENTS - 1]) + "…"),
        };
        self.arguments.put(pid, arguments);
        self.made.clear();
    }

    /// The owner that a record names, if it names one.
    pub(super) fn of(&mut self, raw: &record::Owner, places: &mut Places) -> Option<Shared<Owner>> {
        if raw.known == OWNER_UNKNOWN {
            return None;
        }
        let mut key = [0; size_of::<record::Owner>()];
        key.copy_from_slice(raw.as_bytes());
        if let Some(made) = self.made.get(&key) {
            return Some(made.clone());
        }
        let owner = Shared::new(self.make(raw, places));
        self.made.put(key, owner.clone());
        Some(owner)
    }

    fn make(&mut self, raw: &record::Owner, places: &mut Places) -> Owner {
        let cgroup = (raw.cgroup != 0).then(|| places.cgroup(raw.cgroup, raw.pid)).flatten();
        let kept = self.arguments.get(&raw.pid).cloned().flatten();
        Owner {
            pid: raw.pid,
            tid: raw.tid,
            comm: super::comm(&raw.comm),
            cmdline: kept.or_else(|| places.command_line(raw.pid)).map(Into::into),
            uid: (raw.uid != u32::MAX).then_some(raw.uid),
            user: (raw.uid != u32::MAX).then(|| places.user(raw.uid)).flatten(),
            cgroup: cgroup.as_ref().map(|group| group.path.clone()),
            container: cgroup.and_then(|group| group.container.clone()),
            known: match raw.known {
                OWNER_HELD => Known::Held,
                OWNER_LISTENED => Known::Listener,
                _ => Known::Call,
            },
        }
    }
}
