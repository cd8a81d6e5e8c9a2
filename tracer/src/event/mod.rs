//! What the tracer reports: one [`Event`] per kernel event, ready for a sink.
//!
//! Field names of the serialized form are the tracer's JSON interface; see docs/events.md.
//! Ports and sequence numbers are in host byte order, times in nanoseconds.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::Serialize;
use tracer_ebpf::record::{
    KIND_CLOSE, KIND_END, KIND_LOOKUP, KIND_OPEN, KIND_PROCESS, KIND_QUEUE, KIND_RAW_SEND, KIND_RST, KIND_STATE,
    KIND_STRAY,
};

mod connection;
mod container;
mod context;
pub(crate) mod end;
mod lookup;
mod names;
mod overflow;
mod owner;
mod pid;
mod raw_send;
mod reasons;
mod rst;
mod segment;
mod shared;
mod state;
mod time;
mod verdict;

pub(crate) use self::names::comm;
pub use self::{
    connection::{Close, End, Open, Opened, Reader, ReplacedBy, Side},
    container::{Container, Runtime},
    context::{Context, Task},
    lookup::{Lookup, Observed, Table},
    names::{Flags, TcpState},
    overflow::Overflow,
    owner::{Ended, Known, Owner, Sender},
    pid::Pid,
    raw_send::{RawKind, RawSend},
    reasons::Reasons,
    rst::{Baseline, Circumstances, Direction, Former, Listener, Near, Numbers, Past, Rst, RstKind},
    segment::{Family, Segment},
    shared::Shared,
    state::{EhashEntry, State},
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

/// Kinds of events to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// TCP state changes
    State,
    /// RSTs sent and received
    Rst,
    /// RSTs received but ignored (challenge ACK, out of window, TIME_WAIT, no socket)
    Stray,
    /// Connections established: how they opened and handshake time
    Open,
    /// Sockets closed: what ended them, lifetime, bytes and round trip
    Close,
    /// Socket lookups in the established hash and the listener hash
    Lookup,
    /// TCP segments sent through raw or packet sockets
    Raw,
    /// Connections dropped by a full accept queue
    Overflow,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::State, Self::Rst, Self::Stray, Self::Open, Self::Close, Self::Lookup, Self::Raw, Self::Overflow];

    /// The `event` member of such an event in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Rst => "rst",
            Self::Stray => "stray_rst",
            Self::Open => "open",
            Self::Close => "close",
            Self::Lookup => "lookup",
            Self::Raw => "raw_send",
            Self::Overflow => "overflow",
        }
    }

    /// The kind of its records.
    pub fn of_record(self) -> u16 {
        match self {
            Self::State => KIND_STATE,
            Self::Rst => KIND_RST,
            Self::Stray => KIND_STRAY,
            Self::Open => KIND_OPEN,
            Self::Close => KIND_CLOSE,
            Self::Lookup => KIND_LOOKUP,
            Self::Raw => KIND_RAW_SEND,
            Self::Overflow => KIND_QUEUE,
        }
    }

    /// The records of `kinds` and those that tell of processes, as the programs' `REPORTED`.
    pub fn reported(kinds: &BTreeSet<Self>) -> u32 {
        kinds.iter().map(|kind| kind.of_record()).chain([KIND_PROCESS, KIND_END]).fold(0, |bits, kind| bits | 1 << kind)
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
