//! RSTs, and what tells why.

use core::mem::offset_of;

#[cfg(feature = "decode")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Header, Owner, Segment};

/// [`Rst::reason`] where this kernel has no `sk_rst_reason`.
pub const NO_REASON: u32 = u32::MAX;
/// Frames kept of a RST's kernel stack, innermost first.
pub const RST_FRAMES: usize = 32;
/// [`Rst::direction`]: this host made it.
pub const RST_SENT_PASSIVE: u8 = 0;
/// [`Rst::direction`]: this host made it, aborting its own connection.
pub const RST_SENT_ACTIVE: u8 = 1;
/// [`Rst::direction`]: it reset a socket of this host.
pub const RST_RECEIVED: u8 = 2;
/// [`Rst::direction`]: a packet filter of this host made it.
pub const RST_SENT_FIREWALL: u8 = 3;

/// [`Rst::direction`]: it came, and reset no socket.
pub const RST_STRAY: u8 = 4;

/// A RST sent or received.
///
/// A record of it may end before `past`, where there is a connection, and before `stack`: zeros are meant then.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Rst {
    /// Who, where and when.
    pub header: Header,
    /// The provoking segment (sent, passive) or the RST itself (received).
    pub segment: Segment,
    /// This kernel's number in `enum sk_rst_reason` (of a stray one in `enum skb_drop_reason`), or [`NO_REASON`].
    pub reason: u32,
    /// One of the `RST_` constants.
    pub direction: u8,
    /// State of the socket, 0 without one. That of a minisocket in the table is its `tw_substate`.
    pub socket_state: u8,
    /// The state that the socket was in before its change to CLOSE, 0 if it is not closed.
    pub closed_from: u8,
    /// 1 if `circumstances` were read; 2 if only their `rcv_nxt` and `snd_nxt` were, of a minisocket in TIME_WAIT or
    /// FIN_WAIT2.
    pub has_circumstances: u8,
    /// Valid entries of `stack`.
    pub frames: u32,
    /// What the socket was doing.
    pub circumstances: Circumstances,
    /// What the segments of the connection were like.
    pub heard: SegmentStats,
    /// What the two ends were before.
    pub past: Past,
    /// Return addresses, innermost first; only the first `frames` mean anything.
    pub stack: [u64; RST_FRAMES],
}

impl Rst {
    /// Bytes of a record without the past and the stack.
    pub const BARE: usize = offset_of!(Self, past);
    /// Bytes of a record without the stack.
    pub const WITH_PAST: usize = offset_of!(Self, stack);
    /// Bytes of a whole one.
    pub const WHOLE: usize = size_of::<Self>();
}

/// [`Circumstances::flags`]: SO_LINGER is on.
pub const SOCKET_LINGERS: u8 = 1;
/// [`Circumstances::flags`]: no process has it open any more (SOCK_DEAD).
pub const SOCKET_IS_ORPHAN: u8 = 2;
/// [`Circumstances::flags`]: SO_KEEPALIVE is on.
pub const SOCKET_KEEPS_ALIVE: u8 = 4;
/// [`Circumstances::flags`]: the current task is exiting.
pub const TASK_EXITS: u8 = 8;

/// [`Circumstances::flags`]: the current task is starting another program (execve(2)).
pub const TASK_EXECS: u8 = 32;

/// [`Circumstances::flags`]: both ways are shut down (`SHUTDOWN_MASK`).
pub const SOCKET_IS_SHUT: u8 = 16;

/// What a full socket was doing when a RST was made for it or came to it (`struct tcp_sock` and the
/// structs in it). A member that this kernel does not have is zero.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Circumstances {
    /// `jiffies_64` now, also without a full socket.
    pub jiffies: u64,
    /// `rcv_tstamp`: the low half of `jiffies` when the last acknowledgment came.
    pub last_ack: u32,
    /// `rcv_nxt`: the sequence number that is expected next.
    pub rcv_nxt: u32,
    /// `rcv_nxt - copied_seq`: bytes that the process has not read.
    pub unread: u32,
    /// `snd_nxt - snd_una`: bytes sent and not acknowledged.
    pub unacked: u32,
    /// `sk_ack_backlog`: of a listener, connections that wait to be accepted; of a connection that is aborted, those
    /// that waited beside it if the current task has closed the listener, itself among them.
    pub backlog: u32,
    /// `sk_max_ack_backlog`: the most that may.
    pub max_backlog: u32,
    /// `sk_lingertime`, in jiffies.
    pub linger_time: u32,
    /// `linger2`: in jiffies, negative for no FIN_WAIT2.
    pub linger2: i32,
    /// `icsk_user_timeout`, in milliseconds.
    pub user_timeout: u32,
    /// `exit_code` of the current task: of one that exits, in its lowest 7 bits, the signal.
    pub exit_code: u32,
    /// `sk_err`.
    pub error: u32,
    /// `snd_nxt`: the sequence number that is sent next.
    pub snd_nxt: u32,
    /// `snd_wnd`: bytes from `snd_una` on that the peer accepts.
    pub snd_wnd: u32,
    /// `icsk_probes_out`: keepalive or window probes without an answer.
    pub probes_out: u8,
    /// `icsk_retransmits`: retransmissions in a row.
    pub retransmits: u8,
    /// Some of the bits `SOCKET_...` and `TASK_...`.
    pub flags: u8,
    /// Zero.
    pub reserved: u8,
}

/// [`Past::known`]: a socket with these ends was closed.
pub const PAST_CLOSED: u8 = 1;
/// [`Past::known`]: there is another connection that the segment fits, by its numbers.
pub const PAST_OTHER: u8 = 2;
/// [`Past::known`]: that one is open.
pub const PAST_OTHER_IS_OPEN: u8 = 4;
/// [`Past::known`]: no socket with these ends was closed, but a listener was that was responsible for the local one.
/// `owner`, `closed_ns` and `signal` are the listener's then.
pub const PAST_LISTENED: u8 = 8;

/// The sequence numbers that a connection has used: up to its end, or up to now. All zero if they are not known.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Numbers {
    /// The first that it sent, or before it.
    pub snd_first: u32,
    /// `snd_nxt`.
    pub snd_next: u32,
    /// The first that it received, or before it.
    pub rcv_first: u32,
    /// `rcv_nxt`.
    pub rcv_next: u32,
}

/// A connection that has other ends, or is in another namespace.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Other {
    /// Whose it is.
    pub owner: Owner,
    /// Its local address; IPv4 is v4-mapped.
    pub local: [u8; 16],
    /// Its remote address.
    pub remote: [u8; 16],
    /// Inode of its network namespace.
    pub netns: u32,
    /// Its local port.
    pub local_port: u16,
    /// Its remote port.
    pub remote_port: u16,
}

/// What is known of the two ends of a RST from before.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Past {
    /// Whose the closed socket was.
    pub owner: Owner,
    /// `CLOCK_MONOTONIC` of its change to CLOSE, in nanoseconds.
    pub closed_ns: u64,
    /// `CLOCK_MONOTONIC` of ESTABLISHED, 0 if that was not seen.
    pub opened_ns: u64,
    /// `CLOCK_MONOTONIC` of its first state change, 0 if that was not seen.
    pub began_ns: u64,
    /// Bytes that the process had not read.
    pub unread: u32,
    /// `sk_err`: a positive errno, or 0, or [`super::ERROR_TAKEN`].
    pub error: u32,
    /// The state that it was closed from.
    pub closed_from: u8,
    /// One of the `FIN_` constants.
    pub first_fin: u8,
    /// Some of the `RESET_` bits.
    pub resets: u8,
    /// Some of the `PAST_` bits; without the first and the third all above is zero.
    pub known: u8,
    /// Jiffies for which no data had gone either way when the local side sent its FIN first, and one more; 0 if not
    /// known.
    pub idle: u32,
    /// The closed socket's.
    pub numbers: Numbers,
    /// The connection that it may have been meant for; of a RST that reset a socket, the peer's.
    pub other: Other,
    /// The signal that ended the task that closed it, or 0.
    pub signal: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

/// What the segments were like that a connection received, RSTs aside.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct SegmentStats {
    /// How many were looked at; 0: none, and the rest means nothing.
    pub segments: u32,
    /// Lowest TTL or hop limit.
    pub ttl_low: u8,
    /// Highest TTL or hop limit.
    pub ttl_high: u8,
    /// Identification of the last one (RFC 791), 0 for IPv6.
    pub ip_id: u16,
    /// Lowest window field, not scaled.
    pub window_low: u16,
    /// Highest window field, not scaled.
    pub window_high: u16,
    /// Version of the IP packets: 4 or 6.
    pub ip_version: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

const _: () = assert!(size_of::<Circumstances>() == 64);
const _: () = assert!(size_of::<Past>() == 184);
const _: () = assert!(Rst::BARE == 248 && Rst::WITH_PAST == 432 && Rst::WHOLE == 688);
