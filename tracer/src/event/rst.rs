//! RSTs, and what is known of their surroundings.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Flags, Owner, Pid, Segment, Shared, TcpState};
use crate::diagnose::Verdict;

/// A RST that this host sent or received.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Rst {
    /// Which way it went.
    pub direction: Direction,
    /// What made it.
    pub kind: RstKind,
    /// `sk_rst_reason` without its prefix, where this kernel names one; of a stray RST `skb_drop_reason`.
    pub reason: Option<String>,
    /// The same, derived from the evidence where the kernel names none; null where that does not decide.
    pub derived_reason: Option<&'static str>,
    /// The kernel had a socket for it.
    pub socket: bool,
    /// State of that socket when the RST was made.
    pub socket_state: Option<TcpState>,
    /// The state that the socket was closed from, where it is CLOSE by now: an abort closes first, then
    /// sends. From the state change before.
    pub closed_from: Option<TcpState>,
    /// The segment that provoked it (sent, passive), or the RST itself (received).
    pub trigger: Option<Segment>,
    /// What the segments were like that the connection received before; null unless `--baseline` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// Kernel functions that led here, innermost first; an unknown one is its address in hex.
    pub stack: Vec<String>,
    /// What the socket was doing; null without a full socket.
    pub circumstances: Option<Circumstances>,
    /// The sequence number that is expected of a connection whose socket is closed, and which waits in TIME_WAIT or
    /// FIN_WAIT2 (a minisocket of the kernel's table), where the segment was for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_seq: Option<u32>,
    /// The socket that had the same two ends last, if it was closed while the trace ran.
    pub past: Option<Past>,
    /// Where no socket of these ends was closed: the listener that was closed at this host's end.
    pub former: Option<Former>,
    /// A connection of this host with other ends, or in another namespace, that the segment fits by its numbers.
    pub near: Option<Near>,
    /// The other end of the connection that was reset, if it is on this host; where it was none yet, the listener that
    /// the SYN would have come to if its address is one of this namespace.
    pub peer: Option<Near>,
    /// Sockets that listen on the port that a SYN was for, but not where it came to; of a RST that came for a SYN, where
    /// the SYN was sent to, if that is on this host.
    pub listeners: Vec<Listener>,
    /// Why; null where nobody was asked, as in the demo.
    pub verdict: Option<Verdict>,
}

/// What a socket was doing when a RST was made for it or came to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Circumstances {
    /// Bytes that were received and that the process has not read.
    pub unread: u32,
    /// Bytes that were sent and that the other end has not acknowledged.
    pub unacked: u32,
    /// Sequence number that is expected next.
    pub rcv_nxt: u32,
    /// Sequence number that is sent next.
    pub snd_nxt: u32,
    /// Bytes that the other end takes, from the first on that it has not acknowledged.
    pub snd_wnd: u32,
    /// Since the other end was last heard, in milliseconds; null if it never was, or that is not known.
    pub idle_ms: Option<u64>,
    /// Of a listener: connections that wait to be accepted. Of one that waited when its listener was closed: how many did.
    pub backlog: u32,
    /// Of a listener: the most that may wait.
    pub max_backlog: u32,
    /// SO_LINGER is on; with a time of zero close() aborts.
    pub lingers: bool,
    /// The time of SO_LINGER is not zero.
    pub linger_time: bool,
    /// TCP_LINGER2 is negative: close() does not wait in FIN_WAIT2.
    pub no_fin_wait2: bool,
    /// SO_KEEPALIVE is on.
    pub keeps_alive: bool,
    /// TCP_USER_TIMEOUT in milliseconds, 0 for none.
    pub user_timeout_ms: u32,
    /// Keepalive or window probes that were not answered.
    pub probes_out: u8,
    /// Retransmissions in a row that were not answered.
    pub retransmits: u8,
    /// No process has the socket open any more.
    pub orphan: bool,
    /// Both ways are shut down, by close() or shutdown().
    pub shut_down: bool,
    /// The current task was exiting.
    pub task_exits: bool,
    /// The current task was starting another program.
    pub task_execs: bool,
    /// The signal that ends it.
    pub signal: Option<u8>,
    /// The socket's error by name.
    pub error: Option<String>,
}

/// What the segments were like that a connection received, RSTs aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Baseline {
    /// How many were looked at.
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
    /// Whose it was.
    pub owner: Option<Shared<Owner>>,
    /// How long ago it was closed, in nanoseconds.
    pub closed_ns_ago: u64,
    /// For how long it had been open, in nanoseconds; null if it never was, or before the trace.
    pub open_ns: Option<u64>,
    /// From its first state change to its end, in nanoseconds; null if it is older than the trace.
    pub lifetime_ns: Option<u64>,
    /// The state that it was closed from.
    pub closed_from: TcpState,
    /// For how long no data had gone either way when it sent its FIN, in milliseconds; null if the other end did so
    /// first, or that is not known.
    pub idle_ms: Option<u64>,
    /// Bytes that its process had not read.
    pub unread: u32,
    /// A RST had come.
    pub reset_received: bool,
    /// A RST had been sent for it.
    pub reset_sent: bool,
    /// It was taken away in repair mode (`TCP_REPAIR`), which sends nothing.
    pub repair: bool,
    /// The signal that killed the process that closed it.
    pub signal: Option<u8>,
    /// Its error by name.
    pub error: Option<String>,
    /// It had an error that its process took before it was closed, so that it is not known which.
    pub error_taken: bool,
    /// Its sequence numbers.
    #[serde(skip)]
    #[schemars(skip)]
    pub numbers: Numbers,
}

/// A listener that was closed: the last one that was responsible for an end.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Former {
    /// Whose it was.
    pub owner: Option<Shared<Owner>>,
    /// How long ago it was closed, in nanoseconds.
    pub closed_ns_ago: u64,
    /// The signal that killed the process that closed it.
    pub signal: Option<u8>,
}

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Listener {
    /// Inode of its network namespace.
    pub netns: u32,
    /// Its address, `::` or `0.0.0.0` for all.
    pub address: IpAddr,
    /// Process id of its owner, 0 if several listen there.
    pub pid: Pid,
    /// The owner's name.
    pub comm: String,
}

/// Another connection, found by its sequence numbers.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Near {
    /// Its end on this host.
    #[serde(serialize_with = "super::end::serialize")]
    #[schemars(with = "SocketAddr")]
    pub local: SocketAddr,
    /// Its other end.
    #[serde(serialize_with = "super::end::serialize")]
    #[schemars(with = "SocketAddr")]
    pub remote: SocketAddr,
    /// Inode of its network namespace.
    pub netns: u32,
    /// It was open then; else its socket was closed before.
    pub is_open: bool,
    /// Whose it is.
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
    /// It was for a connection whose socket is closed, and which waits in the table.
    pub(crate) fn is_for_minisocket(&self) -> bool {
        self.expected_seq.is_some()
    }
}

#[cfg(test)]
impl Rst {
    /// One of which nothing more is known.
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

/// Which way a RST went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// This host made it.
    Sent,
    /// It came from the network and reset a socket of this host.
    Received,
}

/// What made a RST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RstKind {
    /// An answer to a segment (`tcp_v4_send_reset`, `tcp_v6_send_reset`).
    Passive,
    /// This side aborted its own connection (`tcp_send_active_reset`).
    Active,
    /// A packet filter refused a segment (`nf_send_reset`, `nf_send_reset6`).
    Firewall,
    /// Received: the peer's doing (`tcp_reset`).
    Peer,
    /// Received, and no socket was reset (`kfree_skb`).
    Stray,
}
