//! Which socket does a segment belong to? The established hash is asked first, then the listeners.
//!
//! In the argument lists `saddr` is the segment's sender, `sport` is big-endian, `hnum` in host order.
//! Until 6.17 or so they have a `hashinfo` after `net` ("_hashinfo" in the programs' names).

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id},
    macros::{fexit, kprobe, kretprobe, map},
    maps::LruHashMap,
    programs::{FExitContext, ProbeContext, RetProbeContext},
};
use aya_log_ebpf::debug;
use tracer_ebpf::record::{AF_INET, AF_INET6, KIND_LOOKUP, Lookup, TABLE_EHASH, TABLE_LISTENER};

use crate::{
    arch, context,
    emit::{self, About},
    filter, memory, offset, shortage,
    sock::{self, Address, Identity, Object, Probed},
    tcp,
};

/// What a lookup was for.
#[derive(Clone, Copy)]
#[repr(C)]
struct Question {
    remote: Address,
    local: Address,
    netns: u32,
    family: u16,
    remote_port: u16,
    local_port: u16,
    table: u16,
    padding: u32,
}

/// Lookups under way, from a kprobe to its kretprobe.
#[map]
static UNDER_WAY: LruHashMap<u64, Question> = LruHashMap::with_max_entries(1024, 0);

/// Where the arguments of a lookup function are; the socket found is the value after the last one.
struct Position {
    remote: usize,
    count: usize,
}

const EHASH: Position = Position { remote: 1, count: 7 };
const EHASH_HASHINFO: Position = Position { remote: 2, count: 8 };
const LISTENER: Position = Position { remote: 3, count: 9 };
const LISTENER_HASHINFO: Position = Position { remote: 4, count: 10 };

/// `fexit __inet_lookup_established(net, [hashinfo,] saddr, sport, daddr, hnum, dif, sdif)`,
/// `__inet_lookup_listener(net, [hashinfo,] skb, doff, saddr, sport, daddr, hnum, dif, sdif)`,
/// `__inet6_lookup_established` and `inet6_lookup_listener` with pointers to the addresses
macro_rules! lookup_fexit {
    ($name:ident, $position:expr, $table:expr, $family:expr) => {
        #[fexit]
        pub(crate) fn $name(ctx: FExitContext) -> i32 {
            const AT: Position = $position;
            let netns = sock::inode(Some(Object::<Probed>::new(ctx.arg(0))));
            if filter::wants_netns(netns) {
                let arg = |n| Some(ctx.arg::<u64>(AT.remote + n));
                if let Some(question) = question(netns, $table, $family, arg) {
                    report(&ctx, &question, ctx.arg(AT.count));
                }
            }
            0
        }
    };
}
lookup_fexit!(ehash4_fexit, EHASH, TABLE_EHASH, AF_INET);
lookup_fexit!(ehash4_fexit_hashinfo, EHASH_HASHINFO, TABLE_EHASH, AF_INET);
lookup_fexit!(ehash6_fexit, EHASH, TABLE_EHASH, AF_INET6);
lookup_fexit!(ehash6_fexit_hashinfo, EHASH_HASHINFO, TABLE_EHASH, AF_INET6);
lookup_fexit!(listener4_fexit, LISTENER, TABLE_LISTENER, AF_INET);
lookup_fexit!(listener4_fexit_hashinfo, LISTENER_HASHINFO, TABLE_LISTENER, AF_INET);
lookup_fexit!(listener6_fexit, LISTENER, TABLE_LISTENER, AF_INET6);
lookup_fexit!(listener6_fexit_hashinfo, LISTENER_HASHINFO, TABLE_LISTENER, AF_INET6);

/// `kprobe` on the same functions: remembers the question
macro_rules! lookup_kprobe {
    ($name:ident, $position:expr, $table:expr, $family:expr) => {
        #[kprobe]
        pub(crate) fn $name(ctx: ProbeContext) -> u32 {
            const AT: Position = $position;
            let Some(net) = ctx.arg(0) else { return 0 };
            let netns = sock::inode(Some(Object::<Probed>::new(net)));
            if filter::wants_netns(netns) {
                let arg = |n| arch::argument(&ctx, AT.remote + n);
                if let Some(question) = question(netns, $table, $family, arg) {
                    // A full map evicts the oldest: a lookup that never returned.
                    let _ = UNDER_WAY.insert(flow_of_control(), question, 0);
                }
            }
            0
        }
    };
}
lookup_kprobe!(ehash4_kprobe, EHASH, TABLE_EHASH, AF_INET);
lookup_kprobe!(ehash4_kprobe_hashinfo, EHASH_HASHINFO, TABLE_EHASH, AF_INET);
lookup_kprobe!(ehash6_kprobe, EHASH, TABLE_EHASH, AF_INET6);
lookup_kprobe!(ehash6_kprobe_hashinfo, EHASH_HASHINFO, TABLE_EHASH, AF_INET6);
lookup_kprobe!(listener4_kprobe, LISTENER, TABLE_LISTENER, AF_INET);
lookup_kprobe!(listener4_kprobe_hashinfo, LISTENER_HASHINFO, TABLE_LISTENER, AF_INET);
lookup_kprobe!(listener6_kprobe, LISTENER, TABLE_LISTENER, AF_INET6);
lookup_kprobe!(listener6_kprobe_hashinfo, LISTENER_HASHINFO, TABLE_LISTENER, AF_INET6);

/// `kretprobe` on any of them: the answer to the question remembered
#[kretprobe]
pub(crate) fn lookup_kretprobe(ctx: RetProbeContext) -> u32 {
    let key = flow_of_control();
    // SAFETY: what shares this key (a softirq on top of the task) runs to its end on this CPU before or after
    // these lines, so nobody changes the entry meanwhile. It takes the entry away, though: the lookup that it
    // interrupted finds none here and is not reported.
    if let Some(question) = unsafe { UNDER_WAY.get(key) } {
        let question = *question;
        let _ = UNDER_WAY.remove(key);
        report(&ctx, &question, ctx.ret());
    }
    0
}

/// Tells apart what may be in a lookup at one time: a task, or a CPU that idles.
#[inline(always)]
fn flow_of_control() -> u64 {
    match bpf_get_current_pid_tgid() {
        // SAFETY: a helper without preconditions.
        0 => u64::from(unsafe { bpf_get_smp_processor_id() }),
        task => task,
    }
}

/// The question from the arguments saddr, sport, daddr, hnum.
#[inline(always)]
fn question(netns: u32, table: u8, family: u16, arg: impl Fn(usize) -> Option<u64>) -> Option<Question> {
    let (remote, local) = if family == AF_INET6 {
        (in6(arg(0)?), in6(arg(2)?))
    } else {
        ([arg(0)? & 0xffff_ffff, 0], [arg(2)? & 0xffff_ffff, 0])
    };
    Some(Question {
        remote,
        local,
        netns,
        family,
        remote_port: u16::from_be(arg(1)? as u16),
        local_port: arg(3)? as u16,
        table: u16::from(table),
        padding: 0,
    })
}

/// Reads the `struct in6_addr` at an address.
#[inline(always)]
fn in6(address: u64) -> Address {
    sock::probe_read(address as *const u8)
}

#[inline(always)]
fn report(ctx: &impl EbpfContext, question: &Question, found: u64) {
    let ends = Identity {
        family: question.family,
        local: question.local,
        remote: question.remote,
        local_port: question.local_port,
        remote_port: question.remote_port,
    };
    let sk = Object::<Probed>::new(found as *const u8);
    let state = if sk.is_null() { 0 } else { sk.get(&offset::SK_STATE).unwrap_or(0) };
    let known = memory::known(memory::of(sk).map(|entry| &*entry), memory::gap(tcp::is_full(state)));
    if !filter::wants_ends(&ends) {
        return;
    }
    if !known.wanted {
        if known.is_undecided() {
            shortage::undecided(KIND_LOOKUP, context::of(ctx.as_ptr()));
        }
        return;
    }
    debug!(ctx, "lookup table {} found {:x} state {}", question.table, found, state);
    let about = About {
        now: emit::now(),
        netns: question.netns,
        context: context::of(ctx.as_ptr()),
        ends: &ends,
        owner: known.owner,
        opened: known.opened,
    };
    emit::submit(KIND_LOOKUP, about.context, |record: *mut Lookup| {
        // SAFETY: `record` is reserved memory of that type; all of it is written here.
        unsafe {
            emit::write_about::<Probed>(&raw mut (*record).header, KIND_LOOKUP, size_of::<Lookup>(), &about, sk);
            (&raw mut (*record).table).write(question.table as u8);
            (&raw mut (*record).hit).write(u8::from(found != 0));
            (&raw mut (*record).state).write(state);
            (&raw mut (*record).reserved).write([0; 5]);
        }
    });
}
