//! States and control bits by name.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

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
    /// `TCP_CLOSE_WAIT`.
    pub const CLOSE_WAIT: Self = Self(8);
    /// `TCP_LAST_ACK`.
    pub const LAST_ACK: Self = Self(9);
    /// `TCP_LISTEN`.
    pub const LISTEN: Self = Self(10);
    /// `TCP_CLOSING`.
    pub const CLOSING: Self = Self(11);
    /// `TCP_NEW_SYN_RECV`: a request socket, before it is a connection.
    pub const NEW_SYN_RECV: Self = Self(12);

    /// The local side may still send: it has not closed, and a change to CLOSE from here is abrupt.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::ESTABLISHED | Self::CLOSE_WAIT)
    }

    /// The local side has sent its FIN, and the connection is not over.
    pub const fn has_closed(self) -> bool {
        matches!(self, Self::FIN_WAIT1 | Self::FIN_WAIT2 | Self::CLOSING | Self::LAST_ACK)
    }

    /// The kernel's name (include/net/tcp_states.h), or `STATE_n` for one that it did not have in 7.3.
    pub fn name(self) -> Cow<'static, str> {
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

impl JsonSchema for TcpState {
    fn schema_name() -> Cow<'static, str> {
        "TcpState".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A state, by the kernel's name without TCP_ (include/net/tcp_states.h).",
            "pattern": "^[A-Z][A-Z0-9_]*$",
        })
    }
}

impl JsonSchema for Flags {
    fn schema_name() -> Cow<'static, str> {
        "Flags".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = Self::NAMES.join("|");
        json_schema!({
            "type": "string",
            "description": "TCP control bits, lowest first, joined by |.",
            "pattern": format!("^(none|({one})(\\|({one}))*)$"),
        })
    }
}

/// A task's name; invalid UTF-8 is replaced.
pub(crate) fn comm(bytes: &[u8; 16]) -> String {
    let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}
