//! How connections begin and end.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TcpState;
use crate::event::Verdict;

/// How a connection opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Opened {
    /// The local side sent the SYN, the peer answered
    Active,
    /// Through a listener
    Passive,
    /// Both sides sent a SYN (RFC 9293, section 3.5)
    Simultaneous,
    /// One socket connected to itself
    #[serde(rename = "self")]
    #[value(name = "self")]
    Itself,
    /// Without a handshake, in repair mode (CRIU): it continues another socket's connection
    Restored,
}

impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::Simultaneous => "simultaneous",
            Self::Itself => "self",
            Self::Restored => "restored",
        })
    }
}

/// A connection was established.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Open {
    /// Nanoseconds from the local SYN to ESTABLISHED; null if the peer sent the first SYN.
    pub handshake_ns: Option<u64>,
    /// Microseconds of the handshake's round trip, as TCP measured it; null if a segment was retransmitted.
    pub rtt_us: Option<u32>,
    /// SYNs or SYN+ACKs that the local side retransmitted.
    pub syn_retransmits: u32,
    /// A risk of this connection, in one sentence; null if there is none.
    pub warning: Option<String>,
}

/// A minisocket that replaces a closed socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
pub enum ReplacedBy {
    /// In TIME_WAIT.
    #[serde(rename = "TIME_WAIT")]
    TimeWait,
    /// In FIN_WAIT2: no process reads any more, and the peer has still to close.
    #[serde(rename = "FIN_WAIT2")]
    FinWait2,
}

impl From<ReplacedBy> for TcpState {
    fn from(took: ReplacedBy) -> Self {
        match took {
            ReplacedBy::TimeWait => Self::TIME_WAIT,
            ReplacedBy::FinWait2 => Self::FIN_WAIT2,
        }
    }
}

/// A side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The local side.
    Local,
    /// The peer.
    Remote,
}

/// What ended a connection, or the attempt at one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Both sides sent a FIN, or the socket waits for the peer's.
    Fin,
    /// A RST was received.
    RstReceived,
    /// The local side sent a RST.
    RstSent,
    /// A RST answered the SYN.
    Refused,
    /// No segment was received for too long.
    Timeout,
    /// An administrator or the kernel aborted it (`tcp_abort`).
    Aborted,
    /// The process gave up before an answer arrived.
    Abandoned,
    /// A process removed the connection in repair mode (`TCP_REPAIR`): nothing was sent.
    Repair,
    /// Something else, see `error`.
    Other,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fin => "FIN",
            Self::RstReceived => "RST received",
            Self::RstSent => "RST sent",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Aborted => "aborted",
            Self::Abandoned => "abandoned",
            Self::Repair => "repair mode",
            Self::Other => "error",
        })
    }
}

/// A process that holds the peer's socket of a connection.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Reader {
    /// Process id.
    pub pid: u32,
    /// Process name.
    pub comm: String,
    /// Bytes unread in its socket.
    pub unread: u32,
}

/// A socket that had, or attempted, a connection was closed.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Close {
    /// What ended the connection.
    pub ended_by: End,
    /// True if `ended_by` was observed; false if it is inferred from TCP states.
    pub ended_by_observed: bool,
    /// The side that sent the first FIN or RST; null if unknown.
    pub first: Option<Side>,
    /// Nanoseconds from the socket's first state change to its close; null if it was opened before the trace.
    pub lifetime_ns: Option<u64>,
    /// Nanoseconds from ESTABLISHED to the close; null if ESTABLISHED was not observed.
    pub open_ns: Option<u64>,
    /// Payload bytes received; null if unknown.
    pub bytes_in: Option<u64>,
    /// Payload bytes sent, retransmissions excluded; null if unknown.
    pub bytes_out: Option<u64>,
    /// Smoothed round-trip time in microseconds at the close; null if unknown.
    pub rtt_us: Option<u32>,
    /// Segments that the local side retransmitted.
    pub retransmits: u32,
    /// Consecutive unanswered retransmissions; set if the socket has an error.
    pub unanswered: u8,
    /// Unanswered keepalive or window probes; set if the socket has an error.
    pub probes: u8,
    /// TCP_USER_TIMEOUT in milliseconds, 0 for none; set if the socket has an error.
    pub user_timeout_ms: u32,
    /// Milliseconds since the last segment from the peer, null if none was received; set if the socket has an error.
    pub idle_ms: Option<u64>,
    /// True if the peer's receive window was 0; set if the socket has an error.
    pub window_closed: bool,
    /// Bytes sent but not acknowledged; set if the socket has an error.
    pub unacked: u32,
    /// Bytes not yet sent; set if the socket has an error.
    pub unsent: u32,
    /// The process that holds the peer's socket in the same netns and left data unread; null if there is none.
    pub reader: Option<Reader>,
    /// Signal that killed the process that closed it; null if none did.
    pub signal: Option<u8>,
    /// True if a RST was sent or received for it before its close.
    pub had_rst: bool,
    /// State before CLOSE.
    pub old: TcpState,
    /// State of the minisocket that replaced the socket; null if none did.
    pub became: Option<ReplacedBy>,
    /// The socket's error (`SO_ERROR`) by name; null if it has none.
    pub error: Option<String>,
    /// Why the connection failed without a RST; null if it did not.
    pub verdict: Option<Verdict>,
}
