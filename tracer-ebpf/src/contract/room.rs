//! The maps that hold something of each socket or process, and may be full: their slots in the counts.

/// Sockets and their past.
pub const SOCKETS: u32 = 0;
/// Listeners.
pub const LISTENERS: u32 = 1;
/// Processes that are reported, where children are followed.
pub const PROCESSES: u32 = 2;
/// Number of slots.
pub const SLOTS: u32 = 3;

/// Bytes of what is remembered of a socket.
pub const REMEMBERED: usize = 80;
