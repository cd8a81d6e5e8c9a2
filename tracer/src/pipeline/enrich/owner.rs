//! Owners of sockets, with what this host calls their numbers.

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use tracer_ebpf::record::{self, OWNER_AT_WORK, OWNER_HELD, OWNER_LISTENED, OWNER_PAST, OWNER_UNKNOWN, ProcessEnd};
use zerocopy::IntoBytes as _;

use super::host_facts::{self, HostFacts};
use crate::event::{Ended, Known, Owner, Pid, Sender, Shared};

/// Processes remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// What is known of processes.
pub(super) struct Owners {
    /// Arguments as the kernel had them when the process was first seen, by process id.
    arguments: LruCache<u32, Option<Arc<str>>>,
    /// How processes ended, by process id.
    ended: LruCache<u32, Ended>,
    /// The owners made of records, by the record.
    made: LruCache<[u8; size_of::<record::Owner>()], Shared<Owner>>,
}

impl Default for Owners {
    fn default() -> Self {
        Self { arguments: LruCache::new(REMEMBERED), ended: LruCache::new(REMEMBERED), made: LruCache::new(REMEMBERED) }
    }
}

impl Owners {
    /// A process is seen for the first time, or has changed its program.
    pub(super) fn learn(&mut self, process: &record::Process) {
        let pid = process.header.owner.pid;
        let length = process.length as usize;
        let arguments = match process.arguments.get(..length) {
            _ if length == 0 => None,
            Some(whole) => Some(host_facts::join_arguments(whole).into()),
            None => Some((host_facts::join_arguments(&process.arguments[..record::ARGUMENTS - 1]) + "…").into()),
        };
        self.arguments.put(pid, arguments);
        // Its id may have been another's.
        self.ended.pop(&pid);
        self.made.clear();
    }

    /// A process ends.
    pub(super) fn end(&mut self, end: &ProcessEnd) {
        let signal = end.exit_code & 0x7f;
        let sender = || Sender {
            pid: Pid::of_record(end.sender_pid),
            uid: (end.sender_uid != u32::MAX).then_some(end.sender_uid),
            comm: crate::event::comm(&end.sender_comm),
        };
        let ended = Ended {
            signal: (signal != 0).then_some(signal),
            status: (signal == 0).then_some((end.exit_code >> 8) as u8),
            oom: end.oom != 0,
            by: (end.is_sent != 0).then(sender),
        };
        self.ended.put(end.header.owner.pid, ended);
        self.made.clear();
    }

    /// The owner that a record names, if it names one.
    pub(super) fn of(&mut self, raw: &record::Owner, host_facts: &mut HostFacts) -> Option<Shared<Owner>> {
        if raw.known == OWNER_UNKNOWN {
            return None;
        }
        let mut key = [0; size_of::<record::Owner>()];
        key.copy_from_slice(raw.as_bytes());
        if let Some(made) = self.made.get(&key) {
            return Some(made.clone());
        }
        let owner = Shared::new(self.make(raw, host_facts));
        self.made.put(key, owner.clone());
        Some(owner)
    }

    fn make(&mut self, raw: &record::Owner, host_facts: &mut HostFacts) -> Owner {
        let pid = Pid::of_record(raw.pid);
        let cgroup = (raw.cgroup != 0).then(|| host_facts.cgroup(raw.cgroup, pid.here())).flatten();
        let comm = crate::event::comm(&raw.comm);
        let mut arguments = self.arguments.get(&raw.pid).cloned().flatten();
        if arguments.is_none() {
            arguments = pid.here().and_then(|pid| host_facts.command_line(pid, &comm));
            // Soon it may have ended, and then nobody tells.
            arguments.iter().for_each(|line| drop(self.arguments.put(raw.pid, Some(line.clone()))));
        }
        Owner {
            pid,
            tid: Pid::of_record(raw.tid),
            comm,
            cmdline: arguments,
            uid: (raw.uid != u32::MAX).then_some(raw.uid),
            user: (raw.uid != u32::MAX).then(|| host_facts.user(raw.uid)).flatten(),
            cgroup: cgroup.as_ref().map(|group| group.path.clone()),
            container: cgroup.and_then(|group| group.container.clone()),
            known: match raw.known {
                OWNER_HELD => Known::Held,
                OWNER_LISTENED => Known::Listener,
                OWNER_PAST => Known::Past,
                OWNER_AT_WORK => Known::AtWork,
                _ => Known::Call,
            },
            ended: self.ended.get(&raw.pid).cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    /// Processes that come and go, each seen, named and ended: what is known of the last ones stays.
    #[test]
    fn no_more_processes_are_remembered_than_there_is_room_for() {
        let (mut owners, mut facts) = (Owners::default(), HostFacts::recorded());
        let most = REMEMBERED.get();
        let owner = |pid: usize| record::Owner {
            pid: u32::try_from(pid).unwrap(),
            uid: u32::MAX,
            known: record::OWNER_ACTED,
            ..Default::default()
        };
        for pid in 1..=3 * most {
            let mut process = record::Process::new_zeroed();
            process.header.owner = owner(pid);
            (process.length, process.arguments[0]) = (2, b'x');
            owners.learn(&process);
            let mut end = ProcessEnd::new_zeroed();
            (end.header.owner, end.exit_code) = (owner(pid), 9);
            owners.end(&end);
        }
        for pid in 1..=3 * most {
            let named = owners.of(&owner(pid), &mut facts).unwrap();
            let is_known = pid > 2 * most;
            assert_eq!((named.cmdline.is_some(), named.ended.is_some()), (is_known, is_known), "{pid}");
            assert!(owners.made.len() <= most);
        }
        assert_eq!([owners.arguments.len(), owners.ended.len(), owners.made.len()], [most; 3]);
    }
}
