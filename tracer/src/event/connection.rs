//! How connections begin and end.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TcpState;
use crate::diagnose::Verdict;

/// How a connection opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Opened {
    /// This end sent the SYN, the other answered it
    Active,
    /// By way of a listener
    Passive,
    /// Both ends sent a SYN (RFC 9293, section 3.5)
    Simultaneous,
    /// The same with one socket: it connected to itself
    #[serde(rename = "self")]
    #[value(name = "self")]
    Itself,
    /// Without a handshake, in repair mode (CRIU): it continues one that another socket had
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

/// A connection is established.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Open {
    /// From this end's SYN to here, in nanoseconds; null where this end did not begin.
    pub handshake_ns: Option<u64>,
    /// The handshake's round trip as TCP measured it, in microseconds; null where a segment was sent again.
    pub rtt_us: Option<u32>,
    /// SYNs or SYN+ACKs that this end sent again.
    pub syn_retransmits: u32,
    /// What is wrong with it, in a sentence.
    pub warning: Option<String>,
}

/// A minisocket that waits in the place of a closed socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
pub enum Took {
    /// In TIME_WAIT.
    #[serde(rename = "TIME_WAIT")]
    TimeWait,
    /// In FIN_WAIT2: nobody reads any more, and the other end has still to close.
    #[serde(rename = "FIN_WAIT2")]
    FinWait2,
}

impl From<Took> for TcpState {
    fn from(took: Took) -> Self {
        match took {
            Took::TimeWait => Self::TIME_WAIT,
            Took::FinWait2 => Self::FIN_WAIT2,
        }
    }
}

/// One of a connection's ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// This host's.
    Local,
    /// The other.
    Remote,
}

/// What ended a connection, or the attempt at one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Both ends sent a FIN, or the socket waits for the other's.
    Fin,
    /// A RST came.
    RstReceived,
    /// This end sent a RST.
    RstSent,
    /// A RST answered the SYN.
    Refused,
    /// Nothing was heard for too long.
    Timeout,
    /// An administrator, or the kernel, aborted it (`tcp_abort`).
    Aborted,
    /// The process gave up before an answer came.
    Abandoned,
    /// A process took the connection away in repair mode (`TCP_REPAIR`): nothing was sent.
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

/// A process that has the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Reader {
    /// Process id.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Bytes that wait to be read there.
    pub unread: u32,
}

/// A socket that had, or tried, a connection is closed.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Close {
    /// What ended it.
    pub ended_by: End,
    /// `ended_by` was seen to happen; else it follows from the states and from the kernel's source.
    pub ended_by_observed: bool,
    /// The end whose FIN or RST was the first.
    pub first: Option<Side>,
    /// From the first state change to here, in nanoseconds; null if the socket is older than the trace.
    pub lifetime_ns: Option<u64>,
    /// From ESTABLISHED to here, in nanoseconds; null if that was not seen.
    pub open_ns: Option<u64>,
    /// Payload received, in bytes.
    pub bytes_in: Option<u64>,
    /// Payload sent, in bytes, each counted once.
    pub bytes_out: Option<u64>,
    /// The smoothed round trip at the end, in microseconds.
    pub rtt_us: Option<u32>,
    /// Segments that this end sent again.
    pub retransmits: u32,
    /// Where it has an error: retransmissions in a row that were not answered.
    pub unanswered: u8,
    /// Where it has an error: keepalive or window probes that were not answered.
    pub probes: u8,
    /// Where it has an error: TCP_USER_TIMEOUT in milliseconds, 0 for none.
    pub user_timeout_ms: u32,
    /// Where it has an error: since the other end was last heard, in milliseconds; null if it never was.
    pub idle_ms: Option<u64>,
    /// Where it has an error: the other end took no more data (its window was 0).
    pub window_closed: bool,
    /// Where it has an error: bytes that were sent and not acknowledged.
    pub unacked: u32,
    /// Where it has an error: bytes that waited to be sent.
    pub unsent: u32,
    /// Who has the other end, if it is in the same network namespace and did not read what came.
    pub reader: Option<Reader>,
    /// The signal that killed the process that closed it.
    pub signal: Option<u8>,
    /// A RST was sent for it, or came, before it was closed.
    pub had_rst: bool,
    /// State before.
    pub old: TcpState,
    /// What took the connection over.
    pub became: Option<Took>,
    /// The socket's error (`SO_ERROR`), by name.
    pub error: Option<String>,
    /// Why, where it died without a RST; null otherwise.
    pub verdict: Option<Verdict>,
}
