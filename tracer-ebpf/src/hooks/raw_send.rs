//! TCP segments that leave through a raw or packet socket: seen where every packet is handed to its
//! device, in the sender's own context, and told by the kind of socket that owns the packet.
//!
//! This covers `raw_sendmsg`, `rawv6_sendmsg` and `packet_sendmsg` alike, without parsing user memory,
//! and reports what was really handed over. It misses packet sockets using `PACKET_QDISC_BYPASS`.

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};
use aya_log_ebpf::debug;
use tracer_ebpf::record::{KIND_RAW_SEND, OPEN_UNKNOWN, RawSend, VIA_PACKET, VIA_RAW};

use crate::{
    announce, context,
    emit::{self, About},
    filter, offset, process, segment,
    sock::{self, Access, Identity, Object, Probed, Typed},
    task,
};

const AF_PACKET: u16 = 17;
const SOCK_RAW: u16 = 3;

/// `tp_btf net_dev_queue(struct sk_buff *skb)`
#[btf_tracepoint(function = "net_dev_queue")]
pub(crate) fn raw_send_tp_btf(ctx: BtfTracePointContext) -> i32 {
    report(&ctx, Object::<Typed>::new(ctx.arg(0)));
    0
}

/// `fentry __dev_queue_xmit(struct sk_buff *skb, struct net_device *sb_dev)`
#[fentry]
pub(crate) fn raw_send_fentry(ctx: FEntryContext) -> i32 {
    report(&ctx, Object::<Typed>::new(ctx.arg(0)));
    0
}

/// `kprobe __dev_queue_xmit(struct sk_buff *skb, struct net_device *sb_dev)`
#[kprobe]
pub(crate) fn raw_send_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(skb) = ctx.arg(0) {
        report(&ctx, Object::<Probed>::new(skb));
    }
    0
}

#[inline(always)]
fn report<A: Access>(ctx: &impl EbpfContext, skb: Object<A>) {
    let Some(sk) = skb.follow(&offset::SKB_SK) else { return };
    let Some(via) = raw_kind(sk) else { return };
    if !sock::is_of_user(sk) {
        return;
    }
    let netns = sock::skb_netns(skb);
    if !filter::wants_netns(netns) {
        return;
    }
    let Some(packet) = segment::outgoing(skb) else { return };
    let ends = Identity {
        family: packet.family,
        local: packet.source,
        remote: packet.destination,
        local_port: packet.source_port,
        remote_port: packet.destination_port,
    };
    if !filter::wants_ends(&ends) {
        return;
    }
    let owner = process::caller();
    if !filter::wants_owner(&owner, task::current()) || !filter::wants_opened(OPEN_UNKNOWN) {
        return;
    }
    announce::announce();
    debug!(ctx, "raw send via {} flags {:x}", via, packet.segment.flags);
    let context = context::of(ctx.as_ptr());
    let about = About { now: emit::now(), netns, context, ends: &ends, owner: &owner, opened: OPEN_UNKNOWN };
    emit::submit(KIND_RAW_SEND, about.context, |record: *mut RawSend| {
        // SAFETY: `record` is reserved memory of that type; all of it is written here.
        unsafe {
            // No helper makes a cookie for a socket that is not known by its type.
            emit::write_about::<Probed>(
                &raw mut (*record).header,
                KIND_RAW_SEND,
                size_of::<RawSend>(),
                &about,
                sk.untyped(),
            );
            (&raw mut (*record).segment).write(packet.segment);
            (&raw mut (*record).via).write(via);
            (&raw mut (*record).reserved).write([0; 3]);
        }
    });
}

/// The kind of raw sender that a socket is; `None` for every other socket.
#[inline(always)]
fn raw_kind<A: Access>(sk: Object<A>) -> Option<u8> {
    if sk.get::<u16>(&offset::SK_FAMILY)? == AF_PACKET {
        return Some(VIA_PACKET);
    }
    // TIME_WAIT and request sockets are no full sockets and end before sk_type.
    let state: u8 = sk.get(&offset::SK_STATE)?;
    if state == 6 || state == 12 {
        return None;
    }
    (sk.get::<u16>(&offset::SK_TYPE)? == SOCK_RAW).then_some(VIA_RAW)
}
