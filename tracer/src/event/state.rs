//! State changes, and where a socket is in the established hash.

use schemars::JsonSchema;
use serde::Serialize;

use super::{ReplacedBy, TcpState};

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
    /// `hash & ehash_mask`; null while the socket has no hash, or if the mask cannot be read, or if addresses are redacted.
    pub bucket: Option<u32>,
    /// `sk->__sk_common.skc_hash`; 0 if addresses are redacted, which it is made of.
    pub hash: u32,
}
