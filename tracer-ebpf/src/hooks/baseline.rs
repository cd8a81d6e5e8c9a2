//! Each segment of a connection in ESTABLISHED: tracepoint tcp:tcp_probe.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    baseline, filter, memory, segment,
    sock::{self, Object, Typed},
};

/// `tp_btf tcp_probe(struct sock *sk, struct sk_buff *skb)`
#[btf_tracepoint(function = "tcp_probe")]
pub(crate) fn baseline_tp_btf(ctx: BtfTracePointContext) -> i32 {
    let (sk, skb) = (Object::<Typed>::new(ctx.arg(0)), Object::<Typed>::new(ctx.arg(1)));
    if filter::wants_netns(sock::netns(sk))
        && memory::known(memory::of(sk).map(|entry| &*entry), 0).wanted
        && let Some(packet) = segment::received(skb)
    {
        if packet.is_rst() {
            baseline::pass(sk.address(), packet.segment);
        } else {
            baseline::hear(sk.address(), &packet);
        }
    }
    0
}
