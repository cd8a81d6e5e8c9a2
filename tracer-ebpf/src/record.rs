//! Records of the ring buffer. Native byte order; ports and TCP fields are already in host order,
//! addresses in network order (an IPv4 address is the first 4 bytes of its 16).
//!
//! No struct has implicit padding (its `IntoBytes` derive would not compile), so no byte of kernel
//! memory leaves by accident and a record can be stored as it is.

#[cfg(feature = "decode")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Frames kept of a RST's kernel stack, innermost first.
pub const RST_FRAMES: usize = 32;
/// Frames kept of a state change's kernel stack, where it needs one: enough to reach the timer wheel.
pub const STATE_FRAMES: usize = 16;
/// [`Rst::reason`] where this kernel has no `sk_rst_reason`.
pub const NO_REASON: u32 = u32::MAX;

/// [`Header::kind`] of a [`State`], followed by [`STATE_FRAMES`] frames if its size says so.
pub const KIND_STATE: u16 = 0;
/// [`Header::kind`] of a [`Rst`].
pub const KIND_RST: u16 = 1;
/// [`Header::kind`] of a [`Lookup`].
pub const KIND_LOOKUP: u16 = 2;
/// [`Header::kind`] of a [`RawSend`].
pub const KIND_RAW_SEND: u16 = 3;
/// Number of kinds.
pub const KINDS: usize = 4;

/// [`Header::context`]: the program could not tell; the stack in the record does.
pub const CONTEXT_UNKNOWN: u8 = 0;
/// [`Header::context`]: on the current task's own stack.
pub const CONTEXT_PROCESS: u8 = 1;
/// [`Header::context`]: on an interrupt stack.
pub const CONTEXT_INTERRUPT: u8 = 2;

/// `AF_INET` and `AF_INET6` of Linux: values of [`Header::family`].
pub const AF_INET: u16 = 2;
/// See [`AF_INET`].
pub const AF_INET6: u16 = 10;

/// What every record starts with.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Header {
    /// `bpf_ktime_get_ns`: `CLOCK_MONOTONIC` in nanoseconds.
    pub mono_ns: u64,
    /// Socket cookie, 0 if there is no socket or it has none.
    pub cookie: u64,
    /// Address of the `struct sock`, 0 without one: an identity, never to be dereferenced.
    pub sock: u64,
    /// One of the `KIND_` constants.
    pub kind: u16,
    /// Size of the whole record in bytes.
    pub size: u16,
    /// Inode of the network namespace, 0 if unknown.
    pub netns: u32,
    /// Process id (thread group) of the current task.
    pub pid: u32,
    /// Thread id of the current task.
    pub tid: u32,
    /// The current task's name, NUL-terminated unless all 16 bytes are used.
    pub comm: [u8; 16],
    /// This host's address.
    pub local_addr: [u8; 16],
    /// The other end's address.
    pub remote_addr: [u8; 16],
    /// This host's port.
    pub local_port: u16,
    /// The other end's port.
    pub remote_port: u16,
    /// [`AF_INET`] or [`AF_INET6`]; a v4-mapped pair of addresses has the latter.
    pub family: u16,
    /// One of the `CONTEXT_` constants.
    pub context: u8,
    /// Zero.
    pub reserved: u8,
}

/// `inet_sock_set_state`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct State {
    /// Who, where and when.
    pub header: Header,
    /// `skc_hash`.
    pub hash: u32,
    /// `ehash_mask`, 0 if it cannot be read.
    pub mask: u32,
    /// State before, as in `include/net/tcp_states.h`.
    pub old: u8,
    /// State after.
    pub new: u8,
    /// 1 if `skc_nulls_node.pprev` is not null, 0 if it is, 2 if the field could not be read.
    pub hashed: u8,
    /// Zero.
    pub reserved: u8,
    /// Frames that follow, or 0.
    pub frames: u32,
}

/// A [`State`] whose context needs the stack to be told.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct StateWithStack {
    /// The state change; its `frames` are valid below.
    pub state: State,
    /// Return addresses, innermost first; only the first `state.frames` mean anything.
    pub stack: [u64; STATE_FRAMES],
}

/// Fields of a TCP segment.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Segment {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Payload length in bytes.
    pub len: u32,
    /// Control bits, FIN = 1 ... AE = 256.
    pub flags: u16,
    /// Window field, not scaled.
    pub window: u16,
    /// TTL or hop limit.
    pub ttl: u8,
    /// 1 if there is a segment and the other fields were read.
    pub present: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// [`Rst::direction`]: this host made it.
pub const RST_SENT_PASSIVE: u8 = 0;
/// [`Rst::direction`]: this host made it, aborting its own connection.
pub const RST_SENT_ACTIVE: u8 = 1;
/// [`Rst::direction`]: it reset a socket of this host.
pub const RST_RECEIVED: u8 = 2;
/// [`Rst::direction`]: a packet filter of this host made it.
pub const RST_SENT_FIREWALL: u8 = 3;

/// A RST sent or received.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Rst {
    /// Who, where and when.
    pub header: Header,
    /// The provoking segment (sent, passive) or the RST itself (received).
    pub segment: Segment,
    /// This kernel's number in `enum sk_rst_reason`, or [`NO_REASON`].
    pub reason: u32,
    /// One of the `RST_` constants.
    pub direction: u8,
    /// State of the socket, 0 without one.
    pub socket_state: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// Valid entries of `stack`.
    pub frames: u32,
    /// Return addresses, innermost first; only the first `frames` mean anything.
    pub stack: [u64; RST_FRAMES],
}

/// [`Lookup::table`]: the established hash.
pub const TABLE_EHASH: u8 = 0;
/// [`Lookup::table`]: the listeners.
pub const TABLE_LISTENER: u8 = 1;

/// A lookup by the kernel; `local` in the header is the destination of the segment.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Lookup {
    /// Who, where and when; cookie and sock are those of the socket found.
    pub header: Header,
    /// One of the `TABLE_` constants.
    pub table: u8,
    /// 1 if a socket was found.
    pub hit: u8,
    /// State of the socket found, else 0.
    pub state: u8,
    /// Zero.
    pub reserved: [u8; 5],
}

/// [`RawSend::via`]: `SOCK_RAW` of `AF_INET` or `AF_INET6`.
pub const VIA_RAW: u8 = 0;
/// [`RawSend::via`]: `AF_PACKET`.
pub const VIA_PACKET: u8 = 1;

/// A TCP segment that left through a raw or packet socket; `local` in the header is its source.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct RawSend {
    /// Who, where and when; cookie and sock are those of the raw socket.
    pub header: Header,
    /// The segment as sent.
    pub segment: Segment,
    /// One of the `VIA_` constants.
    pub via: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// Deliveries of one kind, per CPU: exact, since each increment happens on its own CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Delivery {
    /// Records put into the ring buffer.
    pub submitted: u64,
    /// Records that found the ring buffer full.
    pub lost: u64,
}

const _: () = assert!(size_of::<Header>() == 96);
const _: () = assert!(size_of::<State>() == 112);
const _: () = assert!(size_of::<StateWithStack>() == 240);
const _: () = assert!(size_of::<Segment>() == 20);
const _: () = assert!(size_of::<Rst>() == 384);
const _: () = assert!(size_of::<Lookup>() == 104);
const _: () = assert!(size_of::<RawSend>() == 120);
