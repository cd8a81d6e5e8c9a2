//! What TCP itself knows of a connection: `struct tcp_sock`, and the table's minisockets.

use aya_ebpf::helpers::{bpf_jiffies64, generated::bpf_skc_to_tcp_sock};
use tracer_ebpf::{
    layout::MISSING,
    record::{
        Circumstances, Closing, Numbers, SOCKET_IS_ORPHAN, SOCKET_IS_SHUT, SOCKET_KEEPS_ALIVE, SOCKET_LINGERS,
        TASK_EXECS, TASK_EXITS, TIME_WAIT, TIME_WAIT_FIN_WAIT2, TIME_WAIT_NONE, TIME_WAIT_UNKNOWN,
    },
};

use crate::{
    context, offset,
    sock::{self, Access, Object, Probed, Typed, Whole, probe_read},
    task, word_copy,
};

pub(crate) const TCP_ESTABLISHED: u8 = 1;
pub(crate) const TCP_SYN_SENT: u8 = 2;
pub(crate) const TCP_SYN_RECV: u8 = 3;
pub(crate) const TCP_FIN_WAIT1: u8 = 4;
pub(crate) const TCP_FIN_WAIT2: u8 = 5;
pub(crate) const TCP_TIME_WAIT: u8 = 6;
pub(crate) const TCP_CLOSE: u8 = 7;
pub(crate) const TCP_CLOSE_WAIT: u8 = 8;
pub(crate) const TCP_LAST_ACK: u8 = 9;
pub(crate) const TCP_LISTEN: u8 = 10;
pub(crate) const TCP_CLOSING: u8 = 11;
pub(crate) const TCP_NEW_SYN_RECV: u8 = 12;

/// Bits `1 << STATE`: those of a `struct sock`, not of a minisocket.
pub(crate) const FULL: u32 = ((1 << TCP_NEW_SYN_RECV) - 1) & !(1 | 1 << TCP_TIME_WAIT);

/// A socket in that state is a `struct sock`; 0 is none.
#[inline(always)]
pub(crate) const fn is_full(state: u8) -> bool {
    FULL >> (state & 31) & 1 != 0
}

/// The `struct tcp_sock` that a full socket of TCP's is. The verifier knows a socket as the `struct sock` that this
/// begins with, which has no members behind its end.
#[inline(always)]
fn whole<A: Access>(sk: Object<A>) -> Option<Object<A>> {
    if A::WHOLE { Some(sk) } else { cast(sk) }
}

/// The socket as one that the verifier knows to be whole from now on. For each pointer member of an argument the
/// verifier searches the kernel's BTF by name four times, whether it can be trusted (`btf_nested_type_is_trusted` in
/// kernel/bpf/btf.c): 0.7 ms for each of them, on each path to it. For this socket's members it does not.
#[inline(always)]
pub(crate) fn known(sk: Object<Typed>) -> Option<Object<Whole>> {
    cast(sk)
}

#[inline(always)]
fn cast<A: Access, B: Access>(sk: Object<A>) -> Option<Object<B>> {
    // SAFETY: the helper takes any socket that the verifier knows, and looks what it is.
    let tcp = unsafe { bpf_skc_to_tcp_sock(sk.as_ptr().cast_mut().cast()) };
    (!tcp.is_null()).then(|| Object::new(tcp.cast_const().cast()))
}

/// Sockets looked at in a chain: the minisocket is put at its head just before.
const CHAIN: usize = 8;

/// Counters of a connection, as the records have them.
pub(crate) struct Counters {
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) rtt_us: u32,
    pub(crate) retransmits: u32,
}

/// The counters of a full socket.
#[inline(always)]
pub(crate) fn counters<A: Access>(sk: Object<A>) -> Counters {
    let tcp = whole(sk);
    let get = |offset| tcp.and_then(|tcp| tcp.get::<u64>(offset));
    let (rtt_us, retransmits) = round_trips(sk);
    Counters {
        bytes_received: get(&offset::TP_BYTES_RECEIVED).unwrap_or(u64::MAX),
        bytes_sent: match (get(&offset::TP_BYTES_SENT), get(&offset::TP_BYTES_RETRANS)) {
            (Some(sent), Some(again)) => sent.wrapping_sub(again),
            _ => u64::MAX,
        },
        rtt_us,
        retransmits,
    }
}

/// Bytes that the process has not read.
#[inline(always)]
pub(crate) fn unread<A: Access>(sk: Object<A>) -> u32 {
    whole(sk).map_or(0, |tcp| difference(tcp.get(&offset::TP_RCV_NXT), tcp.get(&offset::TP_COPIED_SEQ)))
}

/// Jiffies for which no data went either way, and one more; 0 if that is not known.
#[inline(always)]
pub(crate) fn idle<A: Access>(sk: Object<A>) -> u32 {
    let Some(tcp) = whole(sk) else { return 0 };
    let (Some(sent), Some(received)) = (tcp.get::<u32>(&offset::TP_LSNDTIME), tcp.get::<u32>(&offset::ICSK_LRCVTIME))
    else {
        return 0;
    };
    let now = now() as u32;
    let (sent, received) = (now.wrapping_sub(sent), now.wrapping_sub(received));
    (if sent < received { sent } else { received }).wrapping_add(1)
}

/// `jiffies_64`.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: a helper without preconditions.
    unsafe { bpf_jiffies64() }
}

/// The sequence numbers that a connection has used.
#[inline(always)]
pub(crate) fn numbers<A: Access>(sk: Object<A>) -> Numbers {
    /// Of what is longer the beginning does not matter; nor do a SYN and a FIN, which some counters count.
    const LONGEST: u64 = 1 << 30;
    let Some(tcp) = whole(sk) else { return Numbers { snd_first: 0, snd_next: 0, rcv_first: 0, rcv_next: 0 } };
    let get = |offset| tcp.get::<u32>(offset).unwrap_or(0);
    let count = |offset| {
        let bytes = tcp.get::<u64>(offset).unwrap_or(0);
        (if bytes < LONGEST { bytes } else { LONGEST }) as u32
    };
    let rcv_next = get(&offset::TP_RCV_NXT);
    Numbers {
        snd_first: get(&offset::TP_SND_UNA).wrapping_sub(count(&offset::TP_BYTES_ACKED)).wrapping_sub(1),
        snd_next: get(&offset::TP_SND_NXT),
        rcv_first: rcv_next.wrapping_sub(count(&offset::TP_BYTES_RECEIVED)).wrapping_sub(1),
        rcv_next,
    }
}

/// What the peer's socket expects next if it got the last segment that was acknowledged, and has sent up to: the
/// numbers of a segment without data.
#[inline(always)]
pub(crate) fn next<A: Access>(sk: Object<A>) -> (u32, u32) {
    let Some(tcp) = whole(sk) else { return (0, 0) };
    (tcp.get(&offset::TP_SND_UNA).unwrap_or(0), tcp.get(&offset::TP_RCV_NXT).unwrap_or(0))
}

/// Whether it is in repair mode: a process takes its connection away, or puts one into it.
#[inline(always)]
pub(crate) fn is_repaired(sk: u64) -> bool {
    sock::is_set(&offset::TP_REPAIR, sk)
}

/// `later - earlier` of two sequence numbers.
#[inline(always)]
fn difference(later: Option<u32>, earlier: Option<u32>) -> u32 {
    match (later, earlier) {
        (Some(later), Some(earlier)) => later.wrapping_sub(earlier),
        _ => 0,
    }
}

/// Numbers of bits of `sk_flags` (`enum sock_flags` in include/net/sock.h), which have not changed since 2.6.
const SOCK_DEAD: u32 = 0;
const SOCK_KEEPOPEN: u32 = 3;
const SOCK_LINGER: u32 = 4;

/// Whether close() aborted a connection because SO_LINGER is on with a time of zero (`__tcp_close` in
/// net/ipv4/tcp.c): nothing else shuts both ways of one that is still open, and a connection that is open.
#[inline(always)]
pub(crate) fn is_closed_by_linger_zero<A: Access>(sk: Object<A>, state: u8, closed_from: u8) -> bool {
    state == TCP_CLOSE
        && matches!(closed_from, TCP_ESTABLISHED | TCP_CLOSE_WAIT)
        && sk.get::<u64>(&offset::SK_FLAGS).is_some_and(|flags| flags >> SOCK_LINGER & 1 != 0)
        && is_shut_both_ways(sk)
        && sk.get::<u32>(&offset::SK_LINGER_TIME) == Some(0)
}

/// The socket can neither send nor receive any more.
#[inline(always)]
pub(crate) fn is_shut_both_ways<A: Access>(sk: Object<A>) -> bool {
    sk.get::<u8>(&offset::SK_SHUTDOWN).is_some_and(is_shut)
}

/// Both ways (`SHUTDOWN_MASK` of include/net/sock.h).
const fn is_shut(shutdown: u8) -> bool {
    shutdown & 3 == 3
}

/// Writes what a full socket is doing, and the task that may have a hand in it.
///
/// # Safety
/// `to` must be writable.
#[inline(always)]
pub(crate) unsafe fn write_circumstances<A: Access>(to: *mut Circumstances, sk: Object<A>) {
    // SAFETY: the caller's; after the first line it is initialized.
    let to = unsafe { word_copy::clear(to) };
    let Some(tcp) = whole(sk) else { return };
    let socket_flags: u64 = tcp.get(&offset::SK_FLAGS).unwrap_or(0);
    let (task_flags, exit_code) = task::current_exit();
    let shutdown: u8 = tcp.get(&offset::SK_SHUTDOWN).unwrap_or(0);
    // Shifted into place, not branched on: older verifiers would walk each way.
    to.flags = bit(socket_flags, SOCK_LINGER, SOCKET_LINGERS)
        | bit(socket_flags, SOCK_DEAD, SOCKET_IS_ORPHAN)
        | bit(socket_flags, SOCK_KEEPOPEN, SOCKET_KEEPS_ALIVE)
        | bit(u64::from(is_shut(shutdown)), 0, SOCKET_IS_SHUT)
        | bit(u64::from(task_flags), task::PF_EXITING.trailing_zeros(), TASK_EXITS)
        | bit(u64::from(context::execs()), 0, TASK_EXECS);
    to.jiffies = now();
    to.last_ack = tcp.get(&offset::TP_RCV_TSTAMP).unwrap_or(0);
    to.rcv_nxt = tcp.get(&offset::TP_RCV_NXT).unwrap_or(0);
    to.unread = difference(tcp.get(&offset::TP_RCV_NXT), tcp.get(&offset::TP_COPIED_SEQ));
    to.unacked = difference(tcp.get(&offset::TP_SND_NXT), tcp.get(&offset::TP_SND_UNA));
    to.backlog = tcp.get(&offset::SK_BACKLOG).unwrap_or(0);
    to.max_backlog = tcp.get(&offset::SK_MAX_BACKLOG).unwrap_or(0);
    to.linger_time = tcp.get(&offset::SK_LINGER_TIME).unwrap_or(0);
    to.linger2 = tcp.get(&offset::TP_LINGER2).unwrap_or(0);
    to.user_timeout = tcp.get(&offset::ICSK_USER_TIMEOUT).unwrap_or(0);
    to.exit_code = exit_code;
    to.error = tcp.get(&offset::SK_ERR).unwrap_or(0);
    to.snd_nxt = tcp.get(&offset::TP_SND_NXT).unwrap_or(0);
    to.snd_wnd = tcp.get(&offset::TP_SND_WND).unwrap_or(0);
    to.probes_out = tcp.get(&offset::ICSK_PROBES_OUT).unwrap_or(0);
    to.retransmits = tcp.get(&offset::ICSK_RETRANSMITS).unwrap_or(0);
}

/// `flag` if bit number `bit` is set.
#[inline(always)]
const fn bit(flags: u64, bit: u32, flag: u8) -> u8 {
    (flags >> bit & 1) as u8 * flag
}

/// Writes when the peer was last heard, and what it left unanswered.
///
/// # Safety
/// `closing` must be initialized, and these of its members zero.
#[inline(always)]
pub(crate) unsafe fn write_silence<A: Access>(closing: *mut Closing, sk: Object<A>) {
    let Some(tcp) = whole(sk) else { return };
    // SAFETY: the caller's.
    let closing = unsafe { &mut *closing };
    closing.user_timeout = tcp.get(&offset::ICSK_USER_TIMEOUT).unwrap_or(0);
    // SAFETY: a helper without preconditions.
    closing.jiffies = unsafe { bpf_jiffies64() };
    closing.last_ack = tcp.get(&offset::TP_RCV_TSTAMP).unwrap_or(0);
    closing.window = tcp.get(&offset::TP_SND_WND).unwrap_or(0);
    closing.unacked = difference(tcp.get(&offset::TP_SND_NXT), tcp.get(&offset::TP_SND_UNA));
    closing.unsent = difference(tcp.get(&offset::TP_WRITE_SEQ), tcp.get(&offset::TP_SND_NXT));
    closing.unanswered = tcp.get(&offset::ICSK_RETRANSMITS).unwrap_or(0);
    closing.probes_out = tcp.get(&offset::ICSK_PROBES_OUT).unwrap_or(0);
}

/// Smoothed round-trip time in microseconds, and retransmits.
#[inline(always)]
pub(crate) fn round_trips<A: Access>(sk: Object<A>) -> (u32, u32) {
    let Some(tcp) = whole(sk) else { return (0, 0) };
    let srtt: u32 = tcp.get(&offset::TP_SRTT).unwrap_or(0);
    (srtt >> 3, tcp.get(&offset::TP_TOTAL_RETRANS).unwrap_or(0))
}

/// The minisocket that took a connection over, which is closing: `tcp_time_wait()` puts it at the head of
/// the chain before it closes the socket (net/ipv4/tcp_minisocks.c).
#[inline(never)]
pub(crate) fn time_wait<A: Access>(sk: Object<A>) -> u8 {
    let node_offset = offset::SK_PPREV.load().wrapping_sub(8);
    let (Some(hash), Some((table, mask))) = (sk.get::<u32>(&offset::SK_HASH), sock::ehash(sk)) else {
        return TIME_WAIT_UNKNOWN;
    };
    if offset::SK_PPREV.load() == MISSING || offset::TW_SUBSTATE.load() == MISSING {
        return TIME_WAIT_UNKNOWN;
    }
    let port = sk.get::<u16>(&offset::SK_DPORT);
    let mut node: u64 = probe_read((table + 8 * u64::from(hash & mask)) as *const u8);
    for _ in 0..CHAIN {
        // The end of a chain is an odd number (include/linux/list_nulls.h).
        if node == 0 || node & 1 != 0 {
            break;
        }
        let candidate = Object::<Probed>::new(node.wrapping_sub(u64::from(node_offset)) as *const u8);
        if candidate.get::<u8>(&offset::SK_STATE) == Some(TCP_TIME_WAIT)
            && candidate.get::<u32>(&offset::SK_HASH) == Some(hash)
            && candidate.get::<u16>(&offset::SK_DPORT) == port
        {
            let substate = candidate.get::<u8>(&offset::TW_SUBSTATE);
            return if substate == Some(TCP_TIME_WAIT) { TIME_WAIT } else { TIME_WAIT_FIN_WAIT2 };
        }
        node = probe_read(node as *const u8);
    }
    TIME_WAIT_NONE
}
