//! SYN+ACKs that are retransmitted though they were answered: the final ACK of the handshake found the accept queue
//! full.

use aya_ebpf::{EbpfContext as _, macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{
    context, filter, memory, offset,
    overflow::{self, Full, Length},
    past,
    sock::{self, Object, Probed},
};

/// `raw_tp tcp_retransmit_synack(const struct sock *sk, const struct request_sock *req)`: by a timer of the request's
/// (`reqsk_timer_handler` in net/ipv4/inet_connection_sock.c)
#[raw_tracepoint(tracepoint = "tcp_retransmit_synack")]
pub(crate) fn synack_again(ctx: RawTracePointContext) -> i32 {
    let (sk, request) = (Object::<Probed>::new(ctx.arg(0)), Object::<Probed>::new(ctx.arg(1)));
    // With TCP_DEFER_ACCEPT one that was answered waits for data: whatever the queue is like.
    let length = Length::of(sk);
    if !sock::is_set(&offset::REQUEST_ACKED, request.address()) || !length.is_full() {
        return 0;
    }
    let (netns, ends) = (sock::netns(sk), sock::identity(request));
    if filter::wants_netns(netns) && filter::wants_ends(&ends) {
        let context = context::of(ctx.as_ptr());
        past::refuse(context, netns, &ends, memory::find_listener(netns, &ends));
        overflow::tell(&Full { context, netns, length, dropped: true }, &ends);
    }
    0
}
