//! What the tracer reports: one [`Event`] per kernel event, ready for a sink.
//!
//! Field names of the serialized form are the tracer's JSON interface; see the README.
//! Ports and sequence numbers are in host byte order, times in nanoseconds.

use std::{fmt, net::SocketAddr};

use serde::{Serialize, Serializer};

/// One observed kernel event, with who, where and when.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
    /// Wall-clock time, RFC 3339 with nanoseconds in JSON.
    #[serde(serialize_with = "crate::enrich::clock::serialize_rfc3339")]
    pub time: jiff::Timestamp,
    /// `CLOCK_MONOTONIC` in nanoseconds, as `bpf_ktime_get_ns` gives it.
    pub mono_ns: u64,
    /// Inode of the network namespace (as in `/proc/PID/ns/net`), if the kernel let us read it.
    pub netns: Option<u32>,
    /// Address family of the segments: v4-mapped sockets count as IPv4.
    pub family: Family,
    /// This host's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The socket's cookie (`SO_COOKIE`), null without a socket or where the kernel has none yet.
    pub cookie: Option<u64>,
    /// What the CPU was doing when the kernel made this event.
    pub context: Context,
    /// The task that the CPU was running: in `softirq` and `timer` context a bystander.
    pub task: Task,
    /// The process that owns the socket as far as earlier events tell.
    pub owner: Option<Task>,
    /// The demo's scenario, in a demo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<&'static str>,
    /// Kernel address of the socket, an identity for joining events only; 0 without a socket.
    #[serde(skip)]
    pub sock: u64,
}

/// The kinds of events, and what only they carry.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Body {
    /// A socket's state changed (`inet_sock_set_state`).
    State(State),
    /// The kernel looked up which socket a segment belongs to.
    Lookup(Lookup),
    /// A RST was sent or received.
    Rst(Rst),
    /// A TCP segment left through a raw or packet socket.
    RawSend(RawSend),
}

/// A state change.
#[derive(Debug, Clone, Serialize)]
pub struct State {
    /// State before.
    pub old: TcpState,
    /// State after.
    pub new: TcpState,
    /// Membership in the established hash at that moment; null where it was not read.
    pub ehash: Option<EhashEntry>,
}

/// A socket's place in `tcp_hashinfo.ehash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EhashEntry {
    /// The socket is linked in a chain of the table (`skc_nulls_node.pprev` is not null).
    pub hashed: bool,
    /// `hash & ehash_mask`; null while the socket has no hash, or where the mask cannot be read.
    pub bucket: Option<u32>,
    /// `sk->__sk_common.skc_hash`.
    pub hash: u32,
}

/// One socket lookup, from the receiving side: `remote` sent the segment, `local` is its destination.
#[derive(Debug, Clone, Serialize)]
pub struct Lookup {
    /// The table that was searched.
    pub table: Table,
    /// A socket was found.
    pub hit: bool,
    /// State of the socket that was found.
    pub state: Option<TcpState>,
    /// How this was observed.
    pub observed: Observed,
}

/// A table of `tcp_hashinfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Established hash: every socket from SYN_SENT to TIME_WAIT.
    Ehash,
    /// Listening sockets.
    Listener,
}

/// Where a lookup's result comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// A probe on the lookup function saw the kernel's own lookup.
    Probe,
    /// The lookup was run again through `sock_diag`, apart from the kernel's own.
    SockDiag,
}

/// A RST that this host sent or received.
#[derive(Debug, Clone, Serialize)]
pub struct Rst {
    /// Which way it went.
    pub direction: Direction,
    /// What made it.
    pub kind: RstKind,
    /// `sk_rst_reason` without its prefix, where this kernel names one.
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
    /// Kernel functions that led here, innermost first; an unknown one is its address in hex.
    pub stack: Vec<String>,
}

/// Which way a RST went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// This host made it.
    Sent,
    /// It came from the network and reset a socket of this host.
    Received,
}

/// What made a RST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
}

/// The fields of a TCP segment that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// Control bits of RFC 9293 section 3.1.
    pub flags: Flags,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number; meaningful with ACK only.
    pub ack: u32,
    /// Payload bytes.
    pub len: u32,
    /// TTL or hop limit as received.
    pub ttl: u8,
}

/// A TCP segment sent through a raw or packet socket.
#[derive(Debug, Clone, Serialize)]
pub struct RawSend {
    /// Kind of the socket that sent it.
    pub via: RawKind,
    /// The segment that was sent.
    #[serde(flatten)]
    pub segment: Segment,
}

/// Kinds of sockets that can send what they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RawKind {
    /// `SOCK_RAW` of `AF_INET` or `AF_INET6`.
    Raw,
    /// `AF_PACKET`.
    Packet,
}

/// Address family of the segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// What the CPU was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Context {
    /// A system call of `task`, or a kernel thread's own work.
    Process,
    /// Packet processing (or another interrupt) on top of `task`.
    Softirq,
    /// A kernel timer on top of `task`.
    Timer,
    /// The kernel did not let us tell.
    Unknown,
}

/// A task as the kernel saw it at the time of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Task {
    /// Process id (thread group), in the initial pid namespace.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// The thread's name; invalid UTF-8 is replaced.
    pub comm: String,
}

/// A TCP state by the kernel's name, without `TCP_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpState(pub u8);

impl TcpState {
    /// `TCP_ESTABLISHED`.
    pub const ESTABLISHED: Self = Self(1);
    /// `TCP_SYN_SENT`.
    pub const SYN_SENT: Self = Self(2);
    /// `TCP_SYN_RECV`.
    pub const SYN_RECV: Self = Self(3);
    /// `TCP_FIN_WAIT1`.
    pub const FIN_WAIT1: Self = Self(4);
    /// `TCP_FIN_WAIT2`.
    pub const FIN_WAIT2: Self = Self(5);
    /// `TCP_TIME_WAIT`.
    pub const TIME_WAIT: Self = Self(6);
    /// `TCP_CLOSE`.
    pub const CLOSE: Self = Self(7);
    /// `TCP_LAST_ACK`.
    pub const LAST_ACK: Self = Self(9);
    /// `TCP_LISTEN`.
    pub const LISTEN: Self = Self(10);
    /// `TCP_CLOSING`.
    pub const CLOSING: Self = Self(11);

    /// The kernel's name (include/net/tcp_states.h), or `STATE_n` for one that it did not have in 7.3.
    pub fn name(self) -> std::borrow::Cow<'static, str> {
        match self.0 {
            1 => "ESTABLISHED".into(),
            2 => "SYN_SENT".into(),
            3 => "SYN_RECV".into(),
            4 => "FIN_WAIT1".into(),
            5 => "FIN_WAIT2".into(),
            6 => "TIME_WAIT".into(),
            7 => "CLOSE".into(),
            8 => "CLOSE_WAIT".into(),
            9 => "LAST_ACK".into(),
            10 => "LISTEN".into(),
            11 => "CLOSING".into(),
            12 => "NEW_SYN_RECV".into(),
            13 => "BOUND_INACTIVE".into(),
            other => format!("STATE_{other}").into(),
        }
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

impl Serialize for TcpState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// TCP control bits, lowest first: FIN SYN RST PSH ACK URG ECE CWR AE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// FIN.
    pub const FIN: Self = Self(0x01);
    /// SYN.
    pub const SYN: Self = Self(0x02);
    /// RST.
    pub const RST: Self = Self(0x04);
    /// ACK.
    pub const ACK: Self = Self(0x10);

    const NAMES: [&'static str; 9] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"];

    /// All bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Display for Flags {
    /// `SYN|ACK`, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: Vec<&str> =
            Self::NAMES.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| *name).collect();
        f.pad(&if set.is_empty() { "none".to_owned() } else { set.join("|") })
    }
}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
