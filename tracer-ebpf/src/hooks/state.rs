//! State changes: tracepoint sock:inet_sock_set_state (sk, oldstate, newstate), 4.16 and later.

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, fentry, kprobe, raw_tracepoint, tracepoint},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext, RawTracePointContext, TracePointContext},
};
use aya_log_ebpf::debug;
use tracer_ebpf::record::{CONTEXT_PROCESS, CONTEXT_UNKNOWN, Header, KIND_STATE, STATE_FRAMES, State, StateWithStack};

use crate::{
    context, emit, filter, offset,
    sock::{self, Access, Object, Probed, Typed},
};

const IPPROTO_TCP: u16 = 6;
const TCP_CLOSE: u8 = 7;
const TCP_LAST_ACK: u8 = 9;

/// `tp_btf inet_sock_set_state(struct sock *sk, const int oldstate, const int newstate)`
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn state_tp_btf(ctx: BtfTracePointContext) -> i32 {
    let sk = Object::<Typed>::new(ctx.arg(0));
    report(&ctx, context::of(ctx.as_ptr()), sk, ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8);
    0
}

/// The same arguments, without types.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub(crate) fn state_raw_tp(ctx: RawTracePointContext) -> i32 {
    let sk = Object::<Probed>::new(ctx.arg::<*const u8>(0));
    report(&ctx, context::of(ctx.as_ptr()), sk, ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8);
    0
}

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
    // The record lies in a per-CPU buffer, not on the stack: the context shows in the stack only.
    report(&ctx, CONTEXT_UNKNOWN, Object::<Probed>::new(sk as *const u8), old as u8, new as u8);
    0
}

/// `fentry inet_sk_state_store(struct sock *sk, int newstate)` and `inet_sk_set_state(struct sock *sk, int state)`:
/// the two functions that the tracepoint fires in, before they change the state (net/ipv4/af_inet.c)
macro_rules! state_fentry {
    ($name:ident) => {
        #[fentry]
        pub(crate) fn $name(ctx: FEntryContext) -> i32 {
            let sk = Object::<Typed>::new(ctx.arg(0));
            if let Some(old) = sk.get::<u8>(&offset::SK_STATE) {
                report(&ctx, context::of(ctx.as_ptr()), sk, old, ctx.arg::<i32>(1) as u8);
            }
            0
        }
    };
}
state_fentry!(state_store_fentry);
state_fentry!(state_set_fentry);

/// `kprobe` on the same two
#[kprobe]
pub(crate) fn state_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(sk), Some(new)) = (ctx.arg(0), ctx.arg::<i32>(1)) {
        let sk = Object::<Probed>::new(sk);
        if let Some(old) = sk.get::<u8>(&offset::SK_STATE) {
            report(&ctx, context::of(ctx.as_ptr()), sk, old, new as u8);
        }
    }
    0
}

#[inline(always)]
fn report<A: Access>(ctx: &impl EbpfContext, context: u8, sk: Object<A>, old: u8, new: u8) {
    // The tracepoint serves SCTP, DCCP and MPTCP's own sockets too.
    if sk.get::<u16>(&offset::SK_PROTOCOL) != Some(IPPROTO_TCP) {
        return;
    }
    let netns = sock::netns(sk);
    if !filter::wants(netns) {
        return;
    }
    let mut header: Header = emit::header::<State>(KIND_STATE, netns, context);
    emit::set_socket(&mut header, sk);
    emit::set_ends(&mut header, &sock::full_identity(sk));
    let mut state = State {
        header,
        hash: sk.get(&offset::SK_HASH).unwrap_or(0),
        mask: sock::ehash_mask(sk),
        old,
        new,
        hashed: sk.get::<u64>(&offset::SK_PPREV).map_or(2, |pprev| u8::from(pprev != 0)),
        reserved: 0,
        frames: 0,
    };
    debug!(ctx, "state {} -> {} sk {:x} netns {}", old, new, state.header.sock, netns);
    if needs_stack(context, sk, old, new) {
        state.header.size = size_of::<StateWithStack>() as u16;
        emit::submit(KIND_STATE, |record: *mut StateWithStack| {
            // SAFETY: `record` is reserved memory of that type; every byte of `state` and, by the
            // helper, of the frames that count is written before it is submitted.
            unsafe {
                let frames = emit::stack::<STATE_FRAMES>(ctx, &raw mut (*record).stack);
                state.frames = frames;
                (&raw mut (*record).state).write(state);
            }
        });
    } else {
        emit::submit(KIND_STATE, |record: *mut State| {
            // SAFETY: `record` is reserved memory of that type.
            unsafe { record.write(state) };
        });
    }
}

/// Only the stack tells a timer from a packet. Timers lead to CLOSE alone, and an ordinary end of
/// LAST_ACK is not one: that is most of the closes, and they need not pay for a stack.
#[inline(always)]
fn needs_stack<A: Access>(context: u8, sk: Object<A>, old: u8, new: u8) -> bool {
    if context == CONTEXT_UNKNOWN {
        return true;
    }
    let acknowledged = old == TCP_LAST_ACK && sk.get::<u32>(&offset::SK_ERR) == Some(0);
    context != CONTEXT_PROCESS && new == TCP_CLOSE && !acknowledged
}
