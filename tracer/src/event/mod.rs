//! What the tracer reports: one [`Event`] per kernel event, ready for a sink.
//!
//! Field names of the serialized form are the tracer's JSON interface; see docs/events.md.
//! Ports and sequence numbers are in host byte order, times in nanoseconds.

use std::{net::SocketAddr, sync::Arc};

use schemars::JsonSchema;
use serde::Serialize;

use self::kind::Kind;

mod connection;
mod container;
pub(crate) mod end;
pub mod kind;
mod names;
mod overflow;
mod owner;
mod pid;
mod reasons;
mod rst;
mod shared;
mod time;
mod verdict;

pub(crate) use self::names::comm;
pub use self::{
    connection::{Close, End, Open, Opened, Reader, ReplacedBy, Side},
    container::{Container, Runtime},
    names::{Flags, TcpState},
    overflow::Overflow,
    owner::{Ended, Known, Owner, Sender},
    pid::Pid,
    reasons::Reasons,
    rst::{Baseline, Circumstances, Direction, Former, Listener, Near, Numbers, Past, Rst, RstKind},
    shared::Shared,
    verdict::{Confidence, Evidence, Verdict},
};

/// One observed kernel event.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Event {
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
    /// Wall-clock time, RFC 3339 with nanoseconds in JSON.
    #[serde(serialize_with = "time::serialize_rfc3339")]
    pub time: jiff::Timestamp,
    /// `CLOCK_MONOTONIC` in nanoseconds, as `bpf_ktime_get_ns` gives it.
    pub mono_ns: u64,
    /// Inode of the network namespace (as in `/proc/PID/ns/net`); null if it could not be read.
    pub netns: Option<u32>,
    /// Name of that namespace (`ip netns`); null if it has none.
    pub netns_name: Option<Arc<str>>,
    /// Address family of the segments: v4-mapped sockets count as IPv4.
    pub family: Family,
    /// Local address and port; with `--redact`, host parts of addresses stand for others.
    #[serde(serialize_with = "end::serialize")]
    #[schemars(with = "SocketAddr")]
    pub local: SocketAddr,
    /// Remote address and port.
    #[serde(serialize_with = "end::serialize")]
    #[schemars(with = "SocketAddr")]
    pub remote: SocketAddr,
    /// The socket's cookie (`SO_COOKIE`); null without a socket, or if the kernel has not allocated one.
    pub cookie: Option<u64>,
    /// Execution context on the CPU at the time of the event.
    pub context: Context,
    /// The task that was running on the CPU: unrelated to the socket in `softirq` and `timer` context.
    pub task: Task,
    /// The process that owns the socket; null if unknown.
    pub owner: Option<Shared<Owner>>,
    /// How the connection opened; null if it has not opened yet, or opened before the trace.
    pub opened: Option<Opened>,
    /// True if the socket table had no room for the socket: `owner`, `opened` and times are known only as far as this
    /// event tells them. Absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unremembered: bool,
    /// The demo's scenario; absent outside of the demo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<&'static str>,
    /// True if a filter leaves it out: it may be evidence all the same.
    #[serde(skip)]
    pub filtered_out: bool,
    /// Kernel address of the socket, an identity for joining events only; 0 without a socket.
    #[serde(skip)]
    pub sock: u64,
}

impl Event {
    /// The RST that it is about, stray or not.
    pub fn rst(&self) -> Option<&Rst> {
        match &self.body {
            Body::Rst(rst) | Body::StrayRst(rst) => Some(rst),
            _ => None,
        }
    }

    /// Why it happened, where that is asked: of a RST, and of a connection that died without one.
    pub fn verdict(&self) -> Option<&Verdict> {
        match &self.body {
            Body::Rst(rst) | Body::StrayRst(rst) => rst.verdict.as_ref(),
            Body::Close(close) => close.verdict.as_ref(),
            Body::Overflow(overflow) => overflow.verdict.as_ref(),
            _ => None,
        }
    }

    /// Whose the socket is, or was: one that no process has open any more is forgotten when it is closed.
    pub(crate) fn last_owner(&self) -> Option<&Owner> {
        let past = self.rst().and_then(|rst| rst.past.as_ref()?.owner.as_deref());
        self.owner.as_deref().or(past)
    }

    /// Its kind, as one asks for it.
    pub fn kind(&self) -> Kind {
        match self.body {
            Body::State(_) => Kind::State,
            Body::Lookup(_) => Kind::Lookup,
            Body::Rst(_) => Kind::Rst,
            Body::StrayRst(_) => Kind::Stray,
            Body::RawSend(_) => Kind::Raw,
            Body::Open(_) => Kind::Open,
            Body::Close(_) => Kind::Close,
            Body::Overflow(_) => Kind::Overflow,
        }
    }
}

/// The kinds of events, and what only they carry.
#[derive(Debug, Clone, JsonSchema, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Body {
    /// A socket's state changed (`inet_sock_set_state`).
    State(State),
    /// The kernel looked up which socket a segment belongs to.
    Lookup(Lookup),
    /// A RST was sent or received.
    Rst(Box<Rst>),
    /// A RST was received but ignored.
    StrayRst(Box<Rst>),
    /// A TCP segment left through a raw or packet socket.
    RawSend(RawSend),
    /// A connection was established.
    Open(Open),
    /// A socket that had, or attempted, a connection was closed.
    Close(Box<Close>),
    /// Connections were dropped by a full accept queue.
    Overflow(Box<Overflow>),
}

/// A state change.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct State {
    /// State before.
    pub old: TcpState,
    /// State after.
    pub new: TcpState,
    /// Membership in the established hash at that time; null if it was not read.
    pub ehash: Option<EhashEntry>,
    /// State of the minisocket that replaced the socket; null if none did.
    pub became: Option<ReplacedBy>,
}

/// A socket's place in `tcp_hashinfo.ehash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
pub struct EhashEntry {
    /// True if the socket is linked in a chain of the table (`skc_nulls_node.pprev` is not null).
    pub hashed: bool,
    /// `hash & ehash_mask`; null while the socket has no hash, if the mask cannot be read, or if addresses are redacted.
    pub bucket: Option<u32>,
    /// `sk->__sk_common.skc_hash`; 0 if addresses are redacted, which it is made of.
    pub hash: u32,
}

/// One socket lookup, from the receiving side: `remote` sent the segment, `local` is its destination.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Lookup {
    /// The table that was searched.
    pub table: Table,
    /// True if a socket was found.
    pub hit: bool,
    /// State of the socket that was found; null if none was.
    pub state: Option<TcpState>,
    /// How this was observed.
    pub observed: Observed,
}

/// A table of `tcp_hashinfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Established hash: every socket from SYN_SENT to TIME_WAIT.
    Ehash,
    /// Listening sockets.
    Listener,
}

/// Source of a lookup's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// A probe on the lookup function saw the kernel's own lookup.
    Probe,
    /// The lookup was repeated through `sock_diag`, separately from the kernel's own.
    SockDiag,
}

/// Fields of a TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
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
    /// Window field, not scaled.
    pub window: u16,
    /// Identification of its IPv4 packet (RFC 791); null for IPv6.
    pub ip_id: Option<u16>,
}

/// A TCP segment sent through a raw or packet socket.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct RawSend {
    /// Kind of the socket that sent it.
    pub via: RawKind,
    /// The segment that was sent.
    #[serde(flatten)]
    pub segment: Segment,
}

/// Kinds of sockets that can send arbitrary segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RawKind {
    /// `SOCK_RAW` of `AF_INET` or `AF_INET6`.
    Raw,
    /// `AF_PACKET`.
    Packet,
}

/// Address family of the segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Execution context on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Context {
    /// Work of `task`, a process: a system call, or a close during its exit.
    Process,
    /// Work of `task`, a kernel thread, on behalf of another task.
    KernelThread,
    /// Packet processing (or another interrupt) that interrupted `task`.
    Softirq,
    /// A kernel timer that interrupted `task`.
    Timer,
    /// The kernel does not expose the context.
    Unknown,
}

/// A task as the kernel saw it at the time of the event.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Task {
    /// Process id (thread group).
    pub pid: Pid,
    /// Thread id.
    pub tid: Pid,
    /// The thread's name; invalid UTF-8 is replaced.
    pub comm: String,
}
