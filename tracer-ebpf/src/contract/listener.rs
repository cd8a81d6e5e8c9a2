//! The map of listeners, which user space reads too.

#[cfg(feature = "decode")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::Owner;

/// Where one listens.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct ListenerKey {
    /// Address in network order, as two words of its bytes; IPv4 is v4-mapped, all zero is `::`.
    pub address: [u64; 2],
    /// Inode of the network namespace.
    pub netns: u32,
    /// Port.
    pub port: u16,
    /// Zero.
    pub reserved: u16,
}

/// Who listens there.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Listener {
    /// The owner; nobody in particular if there are several.
    pub owner: Owner,
    /// Sockets that do (SO_REUSEPORT).
    pub count: u32,
    /// 1: a filter by owner lets it pass.
    pub wanted: u8,
    /// Zero.
    pub reserved: [u8; 3],
}
