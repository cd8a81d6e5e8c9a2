//! RSTs that a packet filter makes ("reject with tcp reset"): no function or tracepoint of TCP is involved.
//!
//! The functions are in modules (nf_reject_ipv4, nf_reject_ipv6) on most kernels, so a kprobe, which goes by
//! the symbol's name, is the way in.

use aya_ebpf::{EbpfContext, macros::kprobe, programs::ProbeContext};
use tracer_ebpf::record::{NO_REASON, RST_SENT_FIREWALL};

use crate::{
    context,
    rst::{Seen, report},
    segment,
    sock::{self, Object, Probed},
    twin::Taken,
};

/// `kprobe nf_send_reset(struct net *net, [struct sock *sk,] struct sk_buff *oldskb, int hook)` and
/// `nf_send_reset6`, which has the same arguments
macro_rules! firewall_kprobe {
    ($name:ident, $skb:expr) => {
        #[kprobe]
        pub(crate) fn $name(ctx: ProbeContext) -> u32 {
            let (Some(net), Some(skb)) = (ctx.arg(0), ctx.arg($skb)) else { return 0 };
            // The segment may be on its way out, or through: TCP has not set its transport header.
            let Some(packet) = segment::outgoing(Object::<Probed>::new(skb)) else { return 0 };
            // A RST is not answered (net/ipv4/netfilter/nf_reject_ipv4.c).
            if !packet.is_rst() {
                let netns = sock::inode(Some(Object::<Probed>::new(net)));
                let nobody = Object::<Probed>::new(core::ptr::null());
                let (context, direction) = (context::of(ctx.as_ptr()), RST_SENT_FIREWALL);
                let (ends, segment) = (packet.ends(), packet.segment);
                report(
                    &ctx,
                    nobody,
                    Seen { taken: Taken::alone(context), direction, netns, ends, segment, reason: NO_REASON },
                );
            }
            0
        }
    };
}
firewall_kprobe!(firewall_kprobe_skb1, 1);
firewall_kprobe!(firewall_kprobe_skb2, 2);
