//! State changes: tracepoint sock:inet_sock_set_state (sk, oldstate, newstate), 4.16 and later.

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, fentry, kprobe, raw_tracepoint, tracepoint},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext, RawTracePointContext, TracePointContext},
};
use aya_log_ebpf::debug;
use tracer_ebpf::record::{
    CONTEXT_INTERRUPT, CONTEXT_UNKNOWN, KIND_CLOSE, KIND_OPEN, KIND_STATE, STATE_FRAMES, State, StateWithClose,
    StateWithOpen, StateWithStack, TIME_WAIT,
};

use crate::{
    announce,
    change::{self, Change},
    context,
    emit::{self, About},
    filter,
    memory::{self, Remembered},
    note, offset, overflow, shortage,
    sock::{self, Access, Object, Probed, Typed},
    stack::{self, Context, Depth},
    tcp::{self, TCP_CLOSE, TCP_ESTABLISHED, TCP_LAST_ACK, TCP_LISTEN},
    twin, verifier,
};

const IPPROTO_TCP: u16 = 6;

/// `tp_btf inet_sock_set_state(struct sock *sk, const int oldstate, const int newstate)`
macro_rules! state_tp_btf {
    ($name:ident, $nested:literal) => {
        #[btf_tracepoint(function = "inet_sock_set_state")]
        pub(crate) fn $name(ctx: BtfTracePointContext) -> i32 {
            let (old, new) = (ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8);
            if is_filtered_out(Object::<Typed>::new(ctx.arg(0)), old, new) {
                return 0;
            }
            let context = context::of(ctx.as_ptr());
            if twin::take(context, $nested).is_some()
                && let Some(sk) = tcp::known(Object::<Typed>::new(ctx.arg(0)))
            {
                report(&ctx, context, sk, old, new);
            }
            0
        }
    };
}
state_tp_btf!(state_tp_btf, false);
state_tp_btf!(state_tp_btf_nested, true);

/// The raw tracepoint has the arguments of tp_btf, without types.
macro_rules! state_raw_tp {
    ($name:ident, $nested:literal) => {
        #[raw_tracepoint(tracepoint = "inet_sock_set_state")]
        pub(crate) fn $name(ctx: RawTracePointContext) -> i32 {
            let sk = Object::<Probed>::new(ctx.arg::<*const u8>(0));
            let (old, new) = (ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8);
            if is_filtered_out(sk, old, new) {
                return 0;
            }
            let context = context::of(ctx.as_ptr());
            if twin::take(context, $nested).is_some() {
                report(&ctx, context, sk, old, new);
            }
            0
        }
    };
}
state_raw_tp!(state_raw_tp, false);
state_raw_tp!(state_raw_tp_nested, true);

/// The classic record; `skaddr`, `oldstate` and `newstate` at the offsets that BTF gives.
#[tracepoint(category = "sock", name = "inet_sock_set_state")]
pub(crate) fn state_tracepoint(ctx: TracePointContext) -> u32 {
    let entry = Object::<Probed>::new(ctx.as_ptr().cast_const().cast());
    let (Some(sk), Some(old), Some(new)) = (
        entry.get::<u64>(&offset::TP_SKADDR),
        entry.get::<i32>(&offset::TP_OLDSTATE),
        entry.get::<i32>(&offset::TP_NEWSTATE),
    ) else {
        return 0;
    };
    let (sk, old, new) = (Object::<Probed>::new(sk as *const u8), old as u8, new as u8);
    if !is_filtered_out(sk, old, new) {
        // The record lies in a per-CPU buffer, not on the stack: the context shows in the stack only.
        report(&ctx, CONTEXT_UNKNOWN, sk, old, new);
    }
    0
}

/// `fentry inet_sk_state_store(struct sock *sk, int newstate)` and `inet_sk_set_state(struct sock *sk, int state)`:
/// the two functions that the tracepoint fires in, before they change the state (net/ipv4/af_inet.c)
macro_rules! state_fentry {
    ($name:ident, $nested:literal) => {
        #[fentry]
        pub(crate) fn $name(ctx: FEntryContext) -> i32 {
            let (sk, new) = (Object::<Typed>::new(ctx.arg(0)), ctx.arg::<i32>(1) as u8);
            let Some(old) = sk.get::<u8>(&offset::SK_STATE) else { return 0 };
            if is_filtered_out(sk, old, new) {
                return 0;
            }
            let context = context::of(ctx.as_ptr());
            if twin::take(context, $nested).is_some()
                && let Some(sk) = tcp::known(sk)
            {
                report(&ctx, context, sk, old, new);
            }
            0
        }
    };
}
state_fentry!(state_store_fentry, false);
state_fentry!(state_set_fentry, false);
state_fentry!(state_store_fentry_nested, true);
state_fentry!(state_set_fentry_nested, true);

/// `kprobe` on the same two
#[kprobe]
pub(crate) fn state_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(sk), Some(new)) = (ctx.arg(0), ctx.arg::<i32>(1)) {
        let sk = Object::<Probed>::new(sk);
        if let Some(old) = sk.get::<u8>(&offset::SK_STATE)
            && !is_filtered_out(sk, old, new as u8)
        {
            report(&ctx, context::of(ctx.as_ptr()), sk, old, new as u8);
        }
    }
    0
}

/// Reports a change that is not filtered out, see [`is_filtered_out`].
#[inline(always)]
fn report<A: Access>(ctx: &impl Context, context: u8, sk: Object<A>, old: u8, new: u8) {
    // The tracepoint serves SCTP, DCCP and MPTCP's own sockets too.
    if sk.get::<u16>(&offset::SK_PROTOCOL) != Some(IPPROTO_TCP) {
        return;
    }
    let netns = sock::netns(sk);
    let ends = sock::full_identity(sk);
    let wanted = verifier::hide_value(filter::wants_ends(&ends).into()) != 0;
    let now = emit::now();
    // The verifier would walk on with each state that was told from others so far: twice the work.
    let [old, new, ..] = verifier::hide_value(u32::from_ne_bytes([old, new, 0, 0])).to_ne_bytes();
    let change = Change { old, new, context, netns, now };
    let caller = change.caller(sk);
    // There is always one: where there is no room it is a stand-in.
    let Some(entry) = change.follow(sk.address(), &ends, caller.as_ref()) else { return };
    note::note(&change, sk, &ends, entry, wanted);
    if wanted && change.is_child() {
        overflow::came(&change, sk, &ends);
    }
    let entry: &'static Remembered = entry;
    let known = memory::known(Some(entry), 0);
    if !wanted || !known.wanted {
        if wanted && known.is_undecided() {
            count_undecided(&change, sk, entry);
        }
        return;
    }
    if caller.is_some() {
        announce::announce();
    }
    let about = About { now: change.now, netns, context, ends: &ends, owner: known.owner, opened: known.opened };
    debug!(ctx, "state {} -> {} sk {:x} netns {}", old, new, sk.address(), netns);
    let is_state = filter::reports(KIND_STATE);
    let (is_open, is_close) = (is_open(&change), is_close(&change, sk, entry));
    if !is_state && !is_open && !is_close {
        return;
    }
    let time_wait = change.time_wait(sk);
    if is_state && needs_stack(&change, sk, time_wait) {
        report_change_with_stack(ctx, &about, &change, sk, time_wait);
        report_turn(&about, &change, sk, entry, time_wait);
    } else if is_state && is_open {
        // One record of both: it costs half.
        report_change_and_open(&about, &change, sk, entry);
    } else if is_state && is_close {
        report_change_and_close(&about, &change, sk, entry, time_wait);
    } else if is_state {
        report_change(&about, &change, sk, time_wait);
    } else {
        report_turn(&about, &change, sk, entry, time_wait);
    }
}

/// Whether a filter lets nothing of this change pass, now or later. Asked first, since most events of a filtered trace
/// end here, and by each of two programs.
#[inline(always)]
fn is_filtered_out<A: Access>(sk: Object<A>, old: u8, new: u8) -> bool {
    filter::is_by_place() && verifier::hide_value(may_matter(sk, old, new).into()) == 0
}

#[inline(always)]
fn may_matter<A: Access>(sk: Object<A>, old: u8, new: u8) -> bool {
    if !filter::wants_netns(sock::netns(sk)) {
        return false;
    }
    let ends = sock::full_identity(sk);
    // Its first change may come before it has a port that a filter asks for.
    filter::wants_ends(&ends)
        // A listener is remembered whatever comes to it is like, and so its end matters, too.
        || (change::is_first(old, new) || old == TCP_LISTEN)
            && filter::may_want_ends(&ends, || sock::local_port_range(sk))
}

/// Counts what is not reported, because it cannot be told whether the filters want it.
#[inline(never)]
fn count_undecided<A: Access>(change: &Change, sk: Object<A>, entry: &Remembered) {
    // What is not open yet, nobody wants who asks how connections opened.
    if filter::is_by_opening() && !change.has_opened() {
        return;
    }
    if filter::reports(KIND_STATE) {
        shortage::undecided(KIND_STATE, change.context);
    }
    if is_open(change) {
        shortage::undecided(KIND_OPEN, change.context);
    }
    if is_close(change, sk, entry) {
        shortage::undecided(KIND_CLOSE, change.context);
    }
}

/// It is to be reported that the connection opens.
#[inline(always)]
fn is_open(change: &Change) -> bool {
    change.new == TCP_ESTABLISHED && filter::reports(KIND_OPEN)
}

/// It is to be reported that the socket is closed.
#[inline(always)]
fn is_close<A: Access>(change: &Change, sk: Object<A>, entry: &Remembered) -> bool {
    change.new == TCP_CLOSE
        && change.old != TCP_LISTEN
        && filter::reports(KIND_CLOSE)
        && (filter::DEATHS_ONLY.load() == 0 || change.is_death(sk, entry))
}

/// Reports the opening or the end alone.
///
/// It finds out again which of them: verifiers up to 6.1 take what is remembered over the call before for false, and
/// remove what hangs on it.
#[inline(never)]
fn report_turn<A: Access>(about: &About<'_>, change: &Change, sk: Object<A>, entry: &Remembered, time_wait: u8) {
    if is_open(change) {
        change::report_open(about, sk, entry);
    }
    if is_close(change, sk, entry) {
        change::report_close(about, change, sk, entry, time_wait);
    }
}

#[inline(never)]
fn report_change<A: Access>(about: &About<'_>, change: &Change, sk: Object<A>, time_wait: u8) {
    emit::submit(KIND_STATE, about.context, |record: *mut State| {
        // SAFETY: `record` is reserved memory of that type.
        unsafe { fill(record, size_of::<State>(), about, change, sk, time_wait) };
    });
}

#[inline(never)]
fn report_change_with_stack<A: Access>(
    ctx: &impl Context,
    about: &About<'_>,
    change: &Change,
    sk: Object<A>,
    time_wait: u8,
) {
    emit::submit(KIND_STATE, about.context, |record: *mut StateWithStack| {
        // SAFETY: `record` is reserved memory of that type; every byte of the state and, by the
        // helper, of the frames that count is written before it is submitted.
        unsafe {
            fill(&raw mut (*record).state, size_of::<StateWithStack>(), about, change, sk, time_wait);
            let depth = if about.context == CONTEXT_INTERRUPT { Depth::Timer } else { Depth::Whole };
            let frames = stack::write::<STATE_FRAMES>(ctx, depth.frames::<STATE_FRAMES>(), &raw mut (*record).stack);
            (&raw mut (*record).state.frames).write(frames as u16);
        }
    });
}

#[inline(never)]
fn report_change_and_open<A: Access>(about: &About<'_>, change: &Change, sk: Object<A>, entry: &Remembered) {
    let is_delivered = emit::submit(KIND_STATE, about.context, |record: *mut StateWithOpen| {
        // SAFETY: `record` is reserved memory of that type.
        unsafe {
            fill(&raw mut (*record).state, size_of::<StateWithOpen>(), about, change, sk, 0);
            change::write_opening(&raw mut (*record).opening, sk, entry);
        }
    });
    emit::count(KIND_OPEN, about.context, is_delivered);
}

#[inline(never)]
fn report_change_and_close<A: Access>(
    about: &About<'_>,
    change: &Change,
    sk: Object<A>,
    entry: &Remembered,
    time_wait: u8,
) {
    let is_delivered = emit::submit(KIND_STATE, about.context, |record: *mut StateWithClose| {
        // SAFETY: `record` is reserved memory of that type.
        unsafe {
            fill(&raw mut (*record).state, size_of::<StateWithClose>(), about, change, sk, time_wait);
            change::write_closing(&raw mut (*record).closing, change, sk, entry, time_wait);
        }
    });
    emit::count(KIND_CLOSE, about.context, is_delivered);
}

/// Writes all of a state change that is, or begins, a record of `size` bytes.
///
/// # Safety
/// `record` must be writable.
#[inline(always)]
unsafe fn fill<A: Access>(
    record: *mut State,
    size: usize,
    about: &About<'_>,
    change: &Change,
    sk: Object<A>,
    time_wait: u8,
) {
    // SAFETY: the caller's.
    unsafe {
        emit::write_about(&raw mut (*record).header, KIND_STATE, size, about, sk);
        (&raw mut (*record).hash).write(sk.get(&offset::SK_HASH).unwrap_or(0));
        (&raw mut (*record).mask).write(sock::ehash_mask(sk));
        (&raw mut (*record).old).write(change.old);
        (&raw mut (*record).new).write(change.new);
        (&raw mut (*record).hashed).write(sk.get::<u64>(&offset::SK_PPREV).map_or(2, |pprev| u8::from(pprev != 0)));
        (&raw mut (*record).frames).write(0);
        (&raw mut (*record).time_wait).write(time_wait);
        (&raw mut (*record).reserved).write([0; 2]);
    }
}

/// Only the stack tells a timer from a packet. Timers lead to CLOSE alone, and most of what does is known to be a
/// packet's doing without one, which is dear: a RST (the error is that of `tcp_reset` in net/ipv4/tcp_input.c, and
/// no ICMP message leaves it behind), the last acknowledgment, a FIN that leads to TIME_WAIT.
#[inline(always)]
fn needs_stack<A: Access>(change: &Change, sk: Object<A>, time_wait: u8) -> bool {
    const EPIPE: u32 = 32;
    const ECONNRESET: u32 = 104;
    if change.context == CONTEXT_UNKNOWN {
        return true;
    }
    if change.new != TCP_CLOSE || !change.is_softirqs() {
        return false;
    }
    match sk.get::<u32>(&offset::SK_ERR) {
        Some(ECONNRESET | EPIPE) => false,
        Some(0) => change.old != TCP_LAST_ACK && time_wait != TIME_WAIT,
        _ => true,
    }
}
