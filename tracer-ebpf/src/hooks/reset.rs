//! RSTs: sent as an answer (passive), sent to abort (active), received.

use aya_ebpf::{
    EbpfContext, Global,
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};
use aya_log_ebpf::debug;
use tracer_ebpf::record::{
    CONTEXT_INTERRUPT, CONTEXT_PROCESS, CONTEXT_UNKNOWN, KIND_RST, KIND_STRAY, NO_REASON, RESET_RECEIVED, RESET_SENT,
    RST_FRAMES, RST_RECEIVED, RST_SENT_ACTIVE, RST_SENT_PASSIVE, RST_STRAY, Rst, Segment,
};

use super::{baseline, stray};
use crate::{
    context,
    emit::{self, About, Depth},
    filter, memory, offset, past, process,
    segment::{self, Packet},
    sock::{self, Access, Identity, Object, Probed, Typed},
    tcp::{self, TCP_CLOSE, TCP_CLOSING, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_TIME_WAIT},
    words,
};

/// 1: every RST's stack is taken.
#[unsafe(no_mangle)]
static STACKS: Global<u8> = Global::new(0);

/// `SK_RST_REASON_TCP_STATE` of this kernel, or [`NO_REASON`].
#[unsafe(no_mangle)]
static TCP_STATE: Global<u32> = Global::new(NO_REASON);

/// `tp_btf tcp_send_reset(const struct sock *sk, const struct sk_buff *skb, const enum sk_rst_reason reason)`,
/// 6.10 and later. It fires after the checks that may suppress the RST; `skb` is null for an active one.
macro_rules! sent_tp_btf_reason {
    ($name:ident, $nested:literal) => {
        #[btf_tracepoint(function = "tcp_send_reset")]
        pub(crate) fn $name(ctx: BtfTracePointContext) -> i32 {
            if !context::is_for(context::of(ctx.as_ptr()), $nested) {
                return 0;
            }
            let (sk, skb, reason) = (Object::<Typed>::new(ctx.arg(0)), Object::<Typed>::new(ctx.arg(1)), ctx.arg(2));
            if skb.is_null() {
                active(&ctx, sk, reason);
            } else if filter::RESET_TP_PASSIVE.load() != 0 {
                passive(&ctx, sk, skb, reason, false);
            }
            0
        }
    };
}
sent_tp_btf_reason!(sent_tp_btf_reason, false);
sent_tp_btf_reason!(sent_tp_btf_reason_nested, true);

/// `tp_btf tcp_send_reset(const struct sock *sk, const struct sk_buff *skb)`, before 6.10: passive
/// resets without a full socket do not pass here, so only the active ones are taken.
macro_rules! sent_tp_btf {
    ($name:ident, $nested:literal) => {
        #[btf_tracepoint(function = "tcp_send_reset")]
        pub(crate) fn $name(ctx: BtfTracePointContext) -> i32 {
            let skb: *const u8 = ctx.arg(1);
            if skb.is_null() && context::is_for(context::of(ctx.as_ptr()), $nested) {
                active(&ctx, Object::<Typed>::new(ctx.arg(0)), NO_REASON);
            }
            0
        }
    };
}
sent_tp_btf!(sent_tp_btf, false);
sent_tp_btf!(sent_tp_btf_nested, true);

/// `fentry tcp_v{4,6}_send_reset(const struct sock *sk, struct sk_buff *skb, enum sk_rst_reason reason)`
macro_rules! passive_fentry {
    ($name:ident, $reason:expr) => {
        #[fentry]
        pub(crate) fn $name(ctx: FEntryContext) -> i32 {
            let reason: fn(&FEntryContext) -> u32 = $reason;
            passive(&ctx, Object::<Typed>::new(ctx.arg(0)), Object::<Typed>::new(ctx.arg(1)), reason(&ctx), true);
            0
        }
    };
}
passive_fentry!(passive4_fentry, |_| NO_REASON);
passive_fentry!(passive6_fentry, |_| NO_REASON);
passive_fentry!(passive4_fentry_reason, |ctx| ctx.arg(2));
passive_fentry!(passive6_fentry_reason, |ctx| ctx.arg(2));

/// `kprobe tcp_v{4,6}_send_reset(const struct sock *sk, struct sk_buff *skb, enum sk_rst_reason reason)`
macro_rules! passive_kprobe {
    ($name:ident, $reason:expr) => {
        #[kprobe]
        pub(crate) fn $name(ctx: ProbeContext) -> u32 {
            let reason: fn(&ProbeContext) -> Option<u32> = $reason;
            if let (Some(sk), Some(skb)) = (ctx.arg(0), ctx.arg(1)) {
                let reason = reason(&ctx).unwrap_or(NO_REASON);
                passive(&ctx, Object::<Probed>::new(sk), Object::<Probed>::new(skb), reason, true);
            }
            0
        }
    };
}
passive_kprobe!(passive4_kprobe, |_| None);
passive_kprobe!(passive6_kprobe, |_| None);
passive_kprobe!(passive4_kprobe_reason, |ctx| ctx.arg(2));
passive_kprobe!(passive6_kprobe_reason, |ctx| ctx.arg(2));

/// `fentry tcp_send_active_reset(struct sock *sk, gfp_t priority)`, `(sk, reason)` or `(sk, priority, reason)`
macro_rules! active_fentry {
    ($name:ident, $reason:expr) => {
        #[fentry]
        pub(crate) fn $name(ctx: FEntryContext) -> i32 {
            let reason: fn(&FEntryContext) -> u32 = $reason;
            active(&ctx, Object::<Typed>::new(ctx.arg(0)), reason(&ctx));
            0
        }
    };
}
active_fentry!(active_fentry, |_| NO_REASON);
active_fentry!(active_fentry_reason1, |ctx| ctx.arg(1));
active_fentry!(active_fentry_reason2, |ctx| ctx.arg(2));

/// `kprobe tcp_send_active_reset`, with the same three prototypes
macro_rules! active_kprobe {
    ($name:ident, $reason:expr) => {
        #[kprobe]
        pub(crate) fn $name(ctx: ProbeContext) -> u32 {
            let reason: fn(&ProbeContext) -> Option<u32> = $reason;
            if let Some(sk) = ctx.arg(0) {
                active(&ctx, Object::<Probed>::new(sk), reason(&ctx).unwrap_or(NO_REASON));
            }
            0
        }
    };
}
active_kprobe!(active_kprobe, |_| None);
active_kprobe!(active_kprobe_reason1, |ctx| ctx.arg(1));
active_kprobe!(active_kprobe_reason2, |ctx| ctx.arg(2));

/// `fentry tcp_reset(struct sock *sk, struct sk_buff *skb)`, from about 5.11
#[fentry]
pub(crate) fn received_fentry_skb(ctx: FEntryContext) -> i32 {
    let (sk, skb) = (Object::<Typed>::new(ctx.arg(0)), Object::<Typed>::new(ctx.arg(1)));
    received(&ctx, sk, segment::received(skb));
    0
}

/// `fentry tcp_reset(struct sock *sk)`, before
#[fentry]
pub(crate) fn received_fentry(ctx: FEntryContext) -> i32 {
    received(&ctx, Object::<Typed>::new(ctx.arg(0)), None);
    0
}

/// `kprobe tcp_reset(struct sock *sk, struct sk_buff *skb)`, from about 5.11
#[kprobe]
pub(crate) fn received_kprobe_skb(ctx: ProbeContext) -> u32 {
    if let (Some(sk), Some(skb)) = (ctx.arg(0), ctx.arg(1)) {
        received(&ctx, Object::<Probed>::new(sk), segment::received(Object::<Probed>::new(skb)));
    }
    0
}

/// `kprobe tcp_reset(struct sock *sk)`, before
#[kprobe]
pub(crate) fn received_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(sk) = ctx.arg(0) {
        received(&ctx, Object::<Probed>::new(sk), None);
    }
    0
}

/// `tp_btf tcp_receive_reset(struct sock *sk)`
macro_rules! received_tp_btf {
    ($name:ident, $nested:literal) => {
        #[btf_tracepoint(function = "tcp_receive_reset")]
        pub(crate) fn $name(ctx: BtfTracePointContext) -> i32 {
            if context::is_for(context::of(ctx.as_ptr()), $nested) {
                received(&ctx, Object::<Typed>::new(ctx.arg(0)), None);
            }
            0
        }
    };
}
received_tp_btf!(received_tp_btf, false);
received_tp_btf!(received_tp_btf_nested, true);

/// An answer to the segment in `skb`; `at_entry` if the kernel has yet to decide whether it answers.
#[inline(always)]
fn passive<A: Access>(ctx: &impl EbpfContext, sk: Object<A>, skb: Object<A>, reason: u32, at_entry: bool) {
    let Some(packet) = segment::received(skb) else { return };
    if at_entry && packet.goes_unanswered(skb, !sk.is_null()) {
        return;
    }
    let netns = if sk.is_null() { sock::skb_netns(skb) } else { sock::netns(sk) };
    report(ctx, RST_SENT_PASSIVE, netns, sk, &packet.ends(), packet.segment, reason);
}

#[inline(always)]
fn active<A: Access>(ctx: &impl EbpfContext, sk: Object<A>, reason: u32) {
    if !sk.is_null() {
        report(ctx, RST_SENT_ACTIVE, sock::netns(sk), sk, &sock::full_identity(sk), segment::NONE, reason);
    }
}

#[inline(always)]
fn received<A: Access>(ctx: &impl EbpfContext, sk: Object<A>, packet: Option<Packet>) {
    // Data after close() resets the socket as if by a RST: the kernel then sends one, and none has come
    // (tcp_rcv_state_process in net/ipv4/tcp_input.c).
    if packet.as_ref().is_some_and(|packet| !packet.is_rst()) {
        return;
    }
    let segment = packet.map_or_else(|| baseline::incoming(sk), |packet| packet.segment);
    let (netns, ends) = (sock::netns(sk), sock::full_identity(sk));
    stray::expect(netns, &ends);
    report(ctx, RST_RECEIVED, netns, sk, &ends, segment, NO_REASON);
}

/// Puts a RST into the ring buffer.
#[inline(always)]
pub(super) fn report<A: Access>(
    ctx: &impl EbpfContext,
    direction: u8,
    netns: u32,
    sk: Object<A>,
    ends: &Identity,
    segment: Segment,
    reason: u32,
) {
    if !filter::wants_netns(netns) || !filter::wants_ends(ends) {
        return;
    }
    let mut entry = memory::of(sk);
    let mut closed_from = 0;
    if let Some(entry) = &mut entry {
        entry.resets |= match direction {
            RST_RECEIVED => RESET_RECEIVED,
            RST_SENT_ACTIVE => RESET_SENT,
            // A RST that answers a segment need not end the connection.
            _ => 0,
        };
        closed_from = entry.closed_from;
    }
    let known = memory::known(entry.map(|entry| &*entry));
    let kind = if direction == RST_STRAY { KIND_STRAY } else { KIND_RST };
    // Where no socket is left to have an owner, the one that was there has.
    let is_wanted = || known.wanted || sk.is_null() && past::is_wanted(netns, ends);
    if !filter::reports(kind) || !is_wanted() {
        return;
    }
    debug!(ctx, "rst direction {} reason {} flags {:x}", direction, reason, segment.flags);
    let context = context::of(ctx.as_ptr());
    let about = About { now: emit::now(), netns, context, ends, owner: known.owner, opened: known.opened };
    emit::submit(kind, about.context, |record: *mut Rst| {
        // SAFETY: `record` is reserved memory of that type; all that counts of it is written here.
        unsafe {
            emit::write_about::<Rst, A>(&raw mut (*record).header, kind, &about, sk);
            let state = if sk.is_null() { 0 } else { sk.get(&offset::SK_STATE).unwrap_or(0) };
            (&raw mut (*record).segment).write(segment);
            (&raw mut (*record).reason).write(reason);
            (&raw mut (*record).direction).write(direction);
            (&raw mut (*record).socket_state).write(state);
            (&raw mut (*record).closed_from).write(closed_from);
            let is_full = state != 0 && tcp::is_full(state);
            let mut has_circumstances = u8::from(is_full);
            if is_full {
                tcp::write_circumstances(&raw mut (*record).circumstances, sk);
            } else {
                let circumstances = words::clear(&raw mut (*record).circumstances);
                if direction == RST_STRAY && state == TCP_TIME_WAIT {
                    circumstances.rcv_nxt = sk.untyped().get(&offset::TW_RCV_NXT).unwrap_or(0);
                    has_circumstances = 2;
                }
            }
            (&raw mut (*record).has_circumstances).write(has_circumstances);
            past::write(&raw mut (*record).past, netns, ends);
            baseline::write(&raw mut (*record).heard, sk, ends);
            let by_linger = is_full && tcp::is_closed_by_linger_zero(state, closed_from, &(*record).circumstances);
            let is_told = match direction {
                // MPTCP aborts a subflow before it closes it, for the same reasons.
                RST_SENT_ACTIVE if state != TCP_CLOSE => false,
                RST_SENT_ACTIVE => names_cause(reason) && (reason != TCP_STATE.load() || by_linger),
                RST_SENT_PASSIVE => names_cause(reason),
                // Data that comes after close() is not taken for it.
                _ => segment.ip_version != 0 || !is_closing(state),
            };
            let depth = depth(direction, about.context, is_told);
            let frames = emit::stack::<RST_FRAMES>(ctx, depth, &raw mut (*record).stack);
            (&raw mut (*record).frames).write(frames);
        }
    });
}

/// How much of the stack says why, or in which context; none where the rest of the record does: it costs more than all
/// of that. `is_told`: what it is does not depend on the stack.
#[inline(always)]
fn depth(direction: u8, context: u8, is_told: bool) -> Option<Depth> {
    let is_of_packet = direction == RST_RECEIVED || direction == RST_SENT_PASSIVE;
    match context {
        // What it is must be told by the stack; where softirqs have no stack of their own, also of a kernel thread.
        CONTEXT_UNKNOWN => Some(Depth::Whole),
        CONTEXT_PROCESS if process::is_of_kernel() => Some(Depth::Whole),
        CONTEXT_INTERRUPT if !is_of_packet => Some(Depth::Timer),
        _ if is_told && STACKS.load() == 0 => None,
        _ if is_of_packet => Some(Depth::Packet),
        _ if STACKS.load() == 0 => Some(Depth::Call),
        _ => Some(Depth::Whole),
    }
}

/// The reason is one, though not always of one cause only: [`TCP_STATE`] is of many.
#[inline(always)]
const fn names_cause(reason: u32) -> bool {
    const NOT_SPECIFIED: u32 = 0;
    reason != NO_REASON && reason != NOT_SPECIFIED
}

/// The FIN of this end is sent.
#[inline(always)]
const fn is_closing(state: u8) -> bool {
    matches!(state, TCP_FIN_WAIT1 | TCP_FIN_WAIT2 | TCP_CLOSING | TCP_LAST_ACK)
}
