//! RSTs, and what is known of their surroundings.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Flags, Owner, Pid, Segment, Shared, TcpState};
use crate::event::Verdict;

/// A RST that this host sent or received.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Rst {
    /// Direction of the RST.
    pub direction: Direction,
    /// What produced the RST.
    pub kind: RstKind,
    /// The kernel's `sk_rst_reason` without its prefix (a stray RST's `skb_drop_reason`); null if the kernel names
    /// none.
    pub reason: Option<String>,
    /// Reason inferred from call stack, socket state and segment flags where `reason` is null; null if these are
    /// ambiguous.
    pub derived_reason: Option<&'static str>,
    /// True if the kernel found a socket for the RST.
    pub socket: bool,
    /// State of that socket when the RST was produced; null without a socket.
    pub socket_state: Option<TcpState>,
    /// State before the socket went to CLOSE, from the preceding state change: an abort closes first, then sends. Null
    /// if the socket is not in CLOSE.
    pub closed_from: Option<TcpState>,
    /// The segment that triggered the RST (sent, passive), or the RST itself (received); null if it could not be read.
    pub trigger: Option<Segment>,
    /// Properties of the segments that the connection received before; absent unless `--baseline` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// Kernel call stack, innermost function first; an unknown function is shown as its hexadecimal address.
    pub stack: Vec<String>,
    /// State of the socket's queues, timers and options; null without a full socket.
    pub circumstances: Option<Circumstances>,
    /// Next sequence number (`rcv_nxt`) that the minisocket in TIME_WAIT or FIN_WAIT2 expects; absent if the segment
    /// was not for a minisocket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_seq: Option<u32>,
    /// Last socket on the same 4-tuple; null if none was closed while the trace ran.
    pub past: Option<Past>,
    /// Last listener closed at the local address; null if `past` is set or no such listener was closed.
    pub former: Option<Former>,
    /// Local connection on another 4-tuple or in another netns whose sequence numbers match the segment; null if none
    /// does.
    pub near: Option<Near>,
    /// The peer's socket of the connection that was reset, if it is on this host. For a SYN, the listener that it would
    /// have reached, if its address belongs to this netns.
    pub peer: Option<Near>,
    /// Sockets that listen on a SYN's destination port, but on another address, family or netns. For a RST received in
    /// answer to a SYN, sockets that listen at the SYN's destination on this host.
    pub listeners: Vec<Listener>,
    /// Why the RST happened; null in the demo, which makes no diagnosis.
    pub verdict: Option<Verdict>,
}

/// A socket's queues, timers and options when a RST was sent for it or received by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Circumstances {
    /// Bytes received but not yet read by the process.
    pub unread: u32,
    /// Bytes sent but not yet acknowledged by the peer.
    pub unacked: u32,
    /// Next sequence number expected (`rcv_nxt`).
    pub rcv_nxt: u32,
    /// Next sequence number to send (`snd_nxt`).
    pub snd_nxt: u32,
    /// Send window in bytes, from the first unacknowledged byte (`snd_wnd`).
    pub snd_wnd: u32,
    /// Milliseconds since the last segment from the peer; null if none was received, or if that is unknown.
    pub idle_ms: Option<u64>,
    /// Accept queue length of a listener. For a connection reset by its listener's close: queue length at that time.
    pub backlog: u32,
    /// Limit of a listener's accept queue.
    pub max_backlog: u32,
    /// True if SO_LINGER is on; with a linger time of zero close() aborts.
    pub lingers: bool,
    /// True if the time of SO_LINGER is not zero.
    pub linger_time: bool,
    /// True if TCP_LINGER2 is negative: close() skips FIN_WAIT2.
    pub no_fin_wait2: bool,
    /// True if SO_KEEPALIVE is on.
    pub keeps_alive: bool,
    /// TCP_USER_TIMEOUT in milliseconds, 0 for none.
    pub user_timeout_ms: u32,
    /// Unanswered keepalive or window probes.
    pub probes_out: u8,
    /// Consecutive unanswered retransmissions.
    pub retransmits: u8,
    /// True if no process has the socket open any more.
    pub orphan: bool,
    /// True if both directions are shut down, by close() or shutdown().
    pub shut_down: bool,
    /// True if the current task was exiting.
    pub task_exits: bool,
    /// True if the current task was executing execve().
    pub task_execs: bool,
    /// Signal that ends the current task; null if none does.
    pub signal: Option<u8>,
    /// The socket's error by name; null if it has none.
    pub error: Option<String>,
}

/// Properties of the segments that a connection received, RSTs excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Baseline {
    /// Number of segments examined.
    pub segments: u32,
    /// Lowest TTL or hop limit.
    pub ttl_low: u8,
    /// Highest TTL or hop limit.
    pub ttl_high: u8,
    /// Identification of the last IPv4 packet (RFC 791); null for IPv6.
    pub ip_id: Option<u16>,
    /// Lowest window field, not scaled.
    pub window_low: u16,
    /// Highest window field, not scaled.
    pub window_high: u16,
}

/// A socket that was closed.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Past {
    /// The process that owned it; null if unknown.
    pub owner: Option<Shared<Owner>>,
    /// Nanoseconds since it was closed.
    pub closed_ns_ago: u64,
    /// Nanoseconds from ESTABLISHED to its close; null if it was never established, or established before the trace.
    pub open_ns: Option<u64>,
    /// Nanoseconds from its first state change to its close; null if it was opened before the trace.
    pub lifetime_ns: Option<u64>,
    /// State before CLOSE.
    pub closed_from: TcpState,
    /// Milliseconds without data in either direction when it sent its FIN; null if the peer sent its FIN first, or if
    /// that is unknown.
    pub idle_ms: Option<u64>,
    /// Bytes received but not read by its process.
    pub unread: u32,
    /// True if a RST had been received for it.
    pub reset_received: bool,
    /// True if a RST had been sent for it.
    pub reset_sent: bool,
    /// True if it was removed in repair mode (`TCP_REPAIR`), which sends nothing.
    pub repair: bool,
    /// Signal that killed the process that closed it; null if none did.
    pub signal: Option<u8>,
    /// Its error by name; null if it had none.
    pub error: Option<String>,
    /// True if its process read its error before it was closed, so that the error is unknown.
    pub error_taken: bool,
    /// Its sequence numbers.
    #[serde(skip)]
    #[schemars(skip)]
    pub numbers: Numbers,
}

/// A listener that was closed: the last one for a local address and port.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Former {
    /// The process that owned it; null if unknown.
    pub owner: Option<Shared<Owner>>,
    /// Nanoseconds since it was closed.
    pub closed_ns_ago: u64,
    /// Signal that killed the process that closed it; null if none did.
    pub signal: Option<u8>,
}

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Listener {
    /// Inode of its network namespace.
    pub netns: u32,
    /// Its address, `::` or `0.0.0.0` for all.
    pub address: IpAddr,
    /// Process id of its owner; 0 if several processes listen there.
    pub pid: Pid,
    /// The owner's name.
    pub comm: String,
}

/// Another connection, found by its sequence numbers.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Near {
    /// Its local address and port.
    #[serde(serialize_with = "super::end::serialize")]
    #[schemars(with = "SocketAddr")]
    pub local: SocketAddr,
    /// Its remote address and port.
    #[serde(serialize_with = "super::end::serialize")]
    #[schemars(with = "SocketAddr")]
    pub remote: SocketAddr,
    /// Inode of its network namespace.
    pub netns: u32,
    /// True if it was open at that time; false if its socket had been closed before.
    pub is_open: bool,
    /// The process that owns it; null if unknown.
    pub owner: Option<Shared<Owner>>,
}

/// The sequence numbers that a connection has used, see [`tracer_ebpf::record::Numbers`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The first that it sent, or before it.
    pub snd_first: u32,
    /// The next that it would send.
    pub snd_next: u32,
    /// The first that it received, or before it.
    pub rcv_first: u32,
    /// The next that it expects.
    pub rcv_next: u32,
}

impl Numbers {
    /// How far ahead a segment may be.
    const WINDOW: u32 = 1 << 22;

    /// They are known.
    pub fn are_known(&self) -> bool {
        *self != Self::default()
    }

    /// A segment that came may be of this connection.
    pub fn fit(&self, segment: &Segment) -> bool {
        let Self { snd_first, snd_next, rcv_first, rcv_next } = *self;
        // A SYN begins anew, and a RST without an acknowledgment of anything has the number 0.
        let is_seq_free = segment.flags.contains(Flags::SYN) || segment.flags.contains(Flags::RST) && segment.seq == 0;
        let seq = segment.seq.wrapping_sub(rcv_first) <= rcv_next.wrapping_sub(rcv_first).wrapping_add(Self::WINDOW);
        let ack = segment.ack.wrapping_sub(snd_first) <= snd_next.wrapping_sub(snd_first);
        (is_seq_free || seq) && (ack || !segment.flags.contains(Flags::ACK))
    }
}

impl Rst {
    /// It was for a minisocket: a connection whose socket is closed, and that waits in TIME_WAIT or FIN_WAIT2.
    pub(crate) fn is_for_minisocket(&self) -> bool {
        self.expected_seq.is_some()
    }
}

#[cfg(test)]
impl Rst {
    /// A RST without further details.
    pub(crate) fn bare(kind: RstKind) -> Self {
        Self {
            direction: if matches!(kind, RstKind::Peer | RstKind::Stray) {
                Direction::Received
            } else {
                Direction::Sent
            },
            kind,
            reason: None,
            derived_reason: None,
            socket: false,
            socket_state: None,
            closed_from: None,
            trigger: None,
            baseline: None,
            stack: Vec::new(),
            circumstances: None,
            expected_seq: None,
            past: None,
            former: None,
            near: None,
            peer: None,
            listeners: Vec::new(),
            verdict: None,
        }
    }
}

/// Direction of a RST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// This host sent it.
    Sent,
    /// This host received it.
    Received,
}

/// What produced a RST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RstKind {
    /// Sent in answer to a segment (`tcp_v4_send_reset`, `tcp_v6_send_reset`).
    Passive,
    /// Sent to abort a local connection (`tcp_send_active_reset`).
    Active,
    /// Sent by a packet filter that rejected a segment (`nf_send_reset`, `nf_send_reset6`).
    Firewall,
    /// Received, and reset a socket (`tcp_reset`).
    Peer,
    /// Received but ignored: no socket was reset (`kfree_skb`).
    Stray,
}
