//! What the user asked for: read-only globals, so that a branch that is not wanted vanishes at load.
//!
//! Filters of different kinds must all match; of several values of one kind, one must.

use aya_ebpf::{
    Global,
    macros::map,
    maps::{Array, HashMap, LpmTrie, lpm_trie::Key},
};
use tracer_ebpf::{
    criteria::{PORT_SETS, PortSet},
    record::Owner,
    wanted::{self, Lists},
};

use crate::{
    offset,
    sock::{Identity, Object, Probed, bytes},
    task,
};

/// 1: only the namespaces in [`NETNS`] are reported.
#[unsafe(no_mangle)]
pub(crate) static NETNS_ONLY: Global<u8> = Global::new(0);

/// Bits `1 << KIND`: the kinds of records that are reported.
#[unsafe(no_mangle)]
static REPORTED: Global<u32> = Global::new(0);

/// Some of the bits [`BY_IPV4`](tracer_ebpf::criteria::BY_IPV4) ... [`BY_ADDRESS`](tracer_ebpf::criteria::BY_ADDRESS).
#[unsafe(no_mangle)]
static FILTER_ENDS: Global<u8> = Global::new(0);

/// Lowest of the ports that this host's end may have, see [`PORTS`].
#[unsafe(no_mangle)]
static LOWEST_PORT: Global<u16> = Global::new(0);

/// Highest of them.
#[unsafe(no_mangle)]
static HIGHEST_PORT: Global<u16> = Global::new(u16::MAX);

/// Some of the bits [`BY_PID`](tracer_ebpf::criteria::BY_PID) ... [`BY_CGROUP`](tracer_ebpf::criteria::BY_CGROUP).
#[unsafe(no_mangle)]
static FILTER_OWNER: Global<u8> = Global::new(0);

/// Bits `1 << OPEN_...`: only connections that opened in one of these ways are reported, 0 for all.
#[unsafe(no_mangle)]
static FILTER_OPENS: Global<u8> = Global::new(0);

/// 1: of closes only those that are deaths without a RST are reported.
#[unsafe(no_mangle)]
pub(crate) static DEATHS_ONLY: Global<u8> = Global::new(0);

/// 1: children of the processes in [`PIDS`] get into it too.
#[unsafe(no_mangle)]
pub(crate) static FOLLOW_CHILDREN: Global<u8> = Global::new(0);

/// Inodes of the namespaces to report, if [`NETNS_ONLY`].
#[map]
static NETNS: HashMap<u32, u8> = HashMap::with_max_entries(64, 0);

/// Ports of either end, of the local one, of the remote one.
#[map]
static PORTS: Array<PortSet> = Array::with_max_entries(PORT_SETS, 0);

/// Networks of either end; IPv4 ones as v4-mapped.
#[map]
static NETWORKS: LpmTrie<[u8; 16], u8> = LpmTrie::with_max_entries(1024, 1);

/// Processes (thread groups), with [`PID_RUNS`](tracer_ebpf::criteria::PID_RUNS) or
/// [`PID_EXITS`](tracer_ebpf::criteria::PID_EXITS): one is known for as long as nobody else can have its id.
#[map]
pub(crate) static PIDS: HashMap<u32, u8> = HashMap::with_max_entries(8192, 0);

/// Users.
#[map]
static UIDS: HashMap<u32, u8> = HashMap::with_max_entries(256, 0);

/// Names of tasks.
#[map]
static COMMS: HashMap<[u8; 16], u8> = HashMap::with_max_entries(256, 0);

/// Ids of control groups: they and all below them.
#[map]
static CGROUPS: HashMap<u64, u8> = HashMap::with_max_entries(256, 0);

/// Control groups can be nested this deep for a filter to find the one above.
const CGROUP_DEPTH: usize = 16;

macro_rules! contains {
    ($map:expr, $key:expr) => {
        // SAFETY: the value is not read, so it does not matter that the entry may change.
        unsafe { $map.get($key) }.is_some()
    };
}
pub(crate) use contains;

/// Records of this kind are reported.
#[inline(always)]
pub(crate) fn reports(kind: u16) -> bool {
    REPORTED.load() >> kind & 1 != 0
}

/// Only what is in certain network namespaces, or has certain ends, is reported.
#[inline(always)]
pub(crate) fn is_by_place() -> bool {
    NETNS_ONLY.load() != 0 || FILTER_ENDS.load() != 0
}

/// The namespace is one to report.
#[inline(always)]
pub(crate) fn wants_netns(netns: u32) -> bool {
    NETNS_ONLY.load() == 0 || contains!(NETNS, netns)
}

/// The two ends are some to report.
#[inline(always)]
pub(crate) fn wants_ends(ends: &Identity) -> bool {
    are_wanted(ends, false)
}

/// They may come to be, when what is not known yet of a socket is: the peer, or a port of this host, which the
/// kernel takes from `range` (none if that is not known).
#[inline(always)]
pub(crate) fn may_want_ends(ends: &Identity, range: impl FnOnce() -> [u16; 2]) -> bool {
    if ends.remote_port == 0 {
        return true;
    }
    if ends.local_port != 0 {
        return false;
    }
    let [low, high] = range();
    are_wanted(ends, high == 0 || LOWEST_PORT.load() <= high && low <= HIGHEST_PORT.load())
}

#[inline(always)]
fn are_wanted(ends: &Identity, local_port_comes: bool) -> bool {
    wanted::are_ends(FILTER_ENDS.load(), Maps, ends, local_port_comes)
}

/// [`PORTS`] and [`NETWORKS`].
#[derive(Clone, Copy)]
struct Maps;

impl Lists for Maps {
    #[inline(always)]
    fn has_port(self, set: u32, port: u16) -> bool {
        PORTS.get(set).is_some_and(|set| wanted::has_port(set, port))
    }

    #[inline(always)]
    fn has_address(self, address: [u8; 16]) -> bool {
        NETWORKS.get(Key::new(128, address)).is_some()
    }
}

/// Only what belongs to certain processes is reported.
#[inline(always)]
pub(crate) fn is_by_owner() -> bool {
    FILTER_OWNER.load() != 0
}

/// Only connections that opened in certain ways are reported.
#[inline(always)]
pub(crate) fn is_by_opening() -> bool {
    FILTER_OPENS.load() != 0
}

/// The connection, of which `opened` is known, is one to report.
#[inline(always)]
pub(crate) fn wants_opened(opened: u8) -> bool {
    wanted::is_opening(FILTER_OPENS.load(), opened)
}

/// The owner, which is `task` or one of its threads, is one to report.
#[inline(always)]
pub(crate) fn wants_owner(owner: &Owner, task: Object<Probed>) -> bool {
    wanted::is_owner(
        FILTER_OWNER.load(),
        || contains!(PIDS, owner.pid),
        || contains!(UIDS, owner.uid),
        || has_name(owner, task),
        || is_in_cgroup(task),
    )
}

/// The thread has one of the names, or its process has: that of its first thread, which `ps` and `pgrep` show.
#[inline(always)]
fn has_name(owner: &Owner, task: Object<Probed>) -> bool {
    if contains!(COMMS, owner.comm) {
        return true;
    }
    contains!(COMMS, bytes(task::leaders_comm(task)))
}

/// The task's control group, or one above it, is among [`CGROUPS`].
#[inline(always)]
fn is_in_cgroup(task: Object<Probed>) -> bool {
    let mut group = task.follow(&offset::TASK_CGROUPS).and_then(|set| set.follow(&offset::CSS_SET_DEFAULT));
    for _ in 0..CGROUP_DEPTH {
        let Some(current) = group else { return false };
        let id: u64 = current.follow(&offset::CGROUP_KN).and_then(|kn| kn.get(&offset::KN_ID)).unwrap_or(0);
        if contains!(CGROUPS, id) {
            return true;
        }
        // A group starts with its own subsystem state, so the parent's is the parent.
        group = current.follow(&offset::CGROUP_PARENT);
    }
    false
}
