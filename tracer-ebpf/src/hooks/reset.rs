//! RSTs: sent as an answer (passive), sent to abort (active), received.

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};
use tracer_ebpf::record::NO_REASON;

use super::stray;
use crate::{
    context, features,
    rst::{active, passive, received},
    segment,
    sock::{Object, Probed, Typed},
    twin::{self, Taken},
};

/// `tp_btf tcp_send_reset(const struct sock *sk, const struct sk_buff *skb, const enum sk_rst_reason reason)`,
/// 6.10 and later. It fires after the checks that may suppress the RST; `skb` is null for an active one.
macro_rules! sent_tp_btf_reason {
    ($name:ident, $nested:literal) => {
        #[btf_tracepoint(function = "tcp_send_reset")]
        pub(crate) fn $name(ctx: BtfTracePointContext) -> i32 {
            let Some(taken) = twin::take(context::of(ctx.as_ptr()), $nested) else { return 0 };
            let (sk, skb, reason) = (Object::<Typed>::new(ctx.arg(0)), Object::<Typed>::new(ctx.arg(1)), ctx.arg(2));
            if skb.is_null() {
                active(&ctx, taken, sk, reason);
            } else if features::RESET_TP_PASSIVE.load() != 0 {
                passive(&ctx, taken, sk, skb, reason, false);
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
            if skb.is_null()
                && let Some(taken) = twin::take(context::of(ctx.as_ptr()), $nested)
            {
                active(&ctx, taken, Object::<Typed>::new(ctx.arg(0)), NO_REASON);
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
            passive(
                &ctx,
                Taken::alone(context::of(ctx.as_ptr())),
                Object::<Typed>::new(ctx.arg(0)),
                Object::<Typed>::new(ctx.arg(1)),
                reason(&ctx),
                true,
            );
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
                passive(
                    &ctx,
                    Taken::alone(context::of(ctx.as_ptr())),
                    Object::<Probed>::new(sk),
                    Object::<Probed>::new(skb),
                    reason,
                    true,
                );
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
            active(&ctx, Taken::alone(context::of(ctx.as_ptr())), Object::<Typed>::new(ctx.arg(0)), reason(&ctx));
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
                active(
                    &ctx,
                    Taken::alone(context::of(ctx.as_ptr())),
                    Object::<Probed>::new(sk),
                    reason(&ctx).unwrap_or(NO_REASON),
                );
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
    stray::expect(skb.address());
    received(&ctx, Taken::alone(context::of(ctx.as_ptr())), sk, segment::received(skb));
    0
}

/// `fentry tcp_reset(struct sock *sk)`, before
#[fentry]
pub(crate) fn received_fentry(ctx: FEntryContext) -> i32 {
    received(&ctx, Taken::alone(context::of(ctx.as_ptr())), Object::<Typed>::new(ctx.arg(0)), None);
    0
}

/// `kprobe tcp_reset(struct sock *sk, struct sk_buff *skb)`, from about 5.11
#[kprobe]
pub(crate) fn received_kprobe_skb(ctx: ProbeContext) -> u32 {
    if let (Some(sk), Some(skb)) = (ctx.arg(0), ctx.arg(1)) {
        let skb = Object::<Probed>::new(skb);
        stray::expect(skb.address());
        received(&ctx, Taken::alone(context::of(ctx.as_ptr())), Object::<Probed>::new(sk), segment::received(skb));
    }
    0
}

/// `kprobe tcp_reset(struct sock *sk)`, before
#[kprobe]
pub(crate) fn received_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(sk) = ctx.arg(0) {
        received(&ctx, Taken::alone(context::of(ctx.as_ptr())), Object::<Probed>::new(sk), None);
    }
    0
}

/// `tp_btf tcp_receive_reset(struct sock *sk)`
macro_rules! received_tp_btf {
    ($name:ident, $nested:literal) => {
        #[btf_tracepoint(function = "tcp_receive_reset")]
        pub(crate) fn $name(ctx: BtfTracePointContext) -> i32 {
            if let Some(taken) = twin::take(context::of(ctx.as_ptr()), $nested) {
                received(&ctx, taken, Object::<Typed>::new(ctx.arg(0)), None);
            }
            0
        }
    };
}
received_tp_btf!(received_tp_btf, false);
received_tp_btf!(received_tp_btf_nested, true);
