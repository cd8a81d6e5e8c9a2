//! Segments that leave through a raw or packet socket.

use schemars::JsonSchema;
use serde::Serialize;

use super::Segment;

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
