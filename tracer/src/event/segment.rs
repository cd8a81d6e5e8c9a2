//! Segments, and the family that they are of.

use schemars::JsonSchema;
use serde::Serialize;

use super::Flags;

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

/// Address family of the segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}
