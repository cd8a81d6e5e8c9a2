//! RSTs that were received but ignored: the kernel drops them (tracepoint skb:kfree_skb), for being out of order
//! (answered by a challenge ACK, RFC 5961), too late, or for nobody. Some end what is no socket: a request of a
//! listener's, a connection in TIME_WAIT (RFC 1337).
//!
//! Older kernels drop a RST that did reset a socket afterwards, too. It was reported by then.

use aya_ebpf::{
    Global,
    macros::{map, raw_tracepoint},
    maps::PerCpuArray,
    programs::RawTracePointContext,
};
use tracer_ebpf::record::{KIND_STRAY, NO_REASON, RST_STRAY};

use crate::{
    context, emit, filter, offset,
    rst::{Seen, report},
    segment,
    sock::{self, Object, Probed},
    stack::Context,
    twin::Taken,
};

/// `ETH_P_IP` and `ETH_P_IPV6`.
const PROTOCOLS: [u16; 2] = [0x0800, 0x86dd];

/// How long after it reset a socket a RST is dropped, at most: both happen in one softirq.
const SOON_NS: u64 = 10_000_000;

/// The last segment that reset a socket.
#[derive(Clone, Copy)]
#[repr(C)]
struct Last {
    skb: u64,
    at: u64,
}

/// On each CPU.
#[map]
static LAST: PerCpuArray<Last> = PerCpuArray::with_max_entries(1, 0);

/// 1: a RST that reset a socket is consumed (`tcp_validate_incoming` in net/ipv4/tcp_input.c, since 5.18), and so the next
/// one may be at its address; 0: it is dropped.
#[unsafe(no_mangle)]
static RESET_IS_CONSUMED: Global<u8> = Global::new(0);

/// A RST has reset a socket: where the kernel drops it then, it is not stray.
#[inline(always)]
pub(super) fn expect(skb: u64) {
    if RESET_IS_CONSUMED.load() == 0
        && filter::reports(KIND_STRAY)
        && let Some(last) = LAST.get_ptr_mut(0)
    {
        // SAFETY: the slot is this CPU's own; packets are not processed within another's processing.
        unsafe { last.write(Last { skb, at: emit::now() }) };
    }
}

/// Whether it is that one, which is awaited no more then.
#[inline(always)]
fn is_expected(skb: u64) -> bool {
    let Some(last) = LAST.get_ptr_mut(0) else { return false };
    // SAFETY: as above.
    let last = unsafe { &mut *last };
    let is_it = last.skb == skb && emit::now().wrapping_sub(last.at) < SOON_NS;
    if is_it {
        last.at = 0;
    }
    is_it
}

/// `raw_tp kfree_skb(struct sk_buff *skb, void *location)`, before 5.17
#[raw_tracepoint(tracepoint = "kfree_skb")]
pub(crate) fn stray_raw_tp(ctx: RawTracePointContext) -> i32 {
    dropped(&ctx, ctx.arg(0), NO_REASON, core::ptr::null());
    0
}

/// `raw_tp kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason)`
#[raw_tracepoint(tracepoint = "kfree_skb")]
pub(crate) fn stray_raw_tp_reason(ctx: RawTracePointContext) -> i32 {
    dropped(&ctx, ctx.arg(0), ctx.arg(2), core::ptr::null());
    0
}

/// `raw_tp kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason, struct sock *rx_sk)`, 6.12
#[raw_tracepoint(tracepoint = "kfree_skb")]
pub(crate) fn stray_raw_tp_sk(ctx: RawTracePointContext) -> i32 {
    dropped(&ctx, ctx.arg(0), ctx.arg(2), ctx.arg(3));
    0
}

#[inline(always)]
fn dropped(ctx: &impl Context, skb: *const u8, reason: u32, sk: *const u8) {
    let (skb, sk) = (Object::<Probed>::new(skb), Object::<Probed>::new(sk));
    let protocol = skb.get::<u16>(&offset::SKB_PROTOCOL).map_or(0, u16::from_be);
    // One that is on its way out has its sender; TCP takes it from one that came.
    let is_outgoing = skb.get::<u64>(&offset::SKB_SK) != Some(0);
    if !PROTOCOLS.contains(&protocol) || is_outgoing {
        return;
    }
    let Some(packet) = segment::received(skb) else { return };
    if !packet.is_rst() {
        return;
    }
    let ends = packet.ends();
    let netns = match (sk.is_null(), sock::skb_netns(skb)) {
        (false, _) => sock::netns(sk),
        (true, 0) => sock::skb_route_netns(skb),
        (true, netns) => netns,
    };
    if !is_expected(skb.address()) {
        let (context, direction) = (context::of(ctx.as_ptr()), RST_STRAY);
        report(ctx, sk, Seen { taken: Taken::alone(context), direction, netns, ends, segment: packet.segment, reason });
    }
}
