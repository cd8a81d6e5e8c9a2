//! Records of the ring buffer. Native byte order; ports and TCP fields are already in host order,
//! addresses in network order (an IPv4 address is the first 4 bytes of its 16).
//!
//! No struct has implicit padding (its `IntoBytes` derive would not compile), so no byte of kernel
//! memory leaves by accident and a record can be stored as it is.

mod rst;

#[cfg(feature = "decode")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use self::rst::*;

/// Frames kept of a state change's kernel stack, where it needs one: enough to reach the timer wheel.
pub const STATE_FRAMES: usize = 16;

/// [`Header::kind`] of a [`State`], and of what begins with one: its size tells which.
pub const KIND_STATE: u16 = 0;
/// [`Header::kind`] of a [`Rst`].
pub const KIND_RST: u16 = 1;
/// [`Header::kind`] of a [`Lookup`].
pub const KIND_LOOKUP: u16 = 2;
/// [`Header::kind`] of a [`RawSend`].
pub const KIND_RAW_SEND: u16 = 3;
/// [`Header::kind`] of an [`Open`].
pub const KIND_OPEN: u16 = 4;
/// [`Header::kind`] of a [`Close`].
pub const KIND_CLOSE: u16 = 5;
/// [`Header::kind`] of a [`Process`].
pub const KIND_PROCESS: u16 = 6;
/// [`Header::kind`] of a [`Rst`] that came and reset no socket.
pub const KIND_STRAY: u16 = 7;
/// [`Header::kind`] of a [`ProcessEnd`].
pub const KIND_END: u16 = 8;
/// [`Header::kind`] of a [`Queue`].
pub const KIND_QUEUE: u16 = 9;
/// Number of kinds.
pub const KINDS: usize = 10;

/// [`Header::context`]: the program could not tell; the stack in the record does.
pub const CONTEXT_UNKNOWN: u8 = 0;
/// [`Header::context`]: on the stack of the current task, which is a process's and does it itself.
pub const CONTEXT_PROCESS: u8 = 1;
/// [`Header::context`]: in a softirq: on an interrupt's stack, or in a thread that runs softirqs.
pub const CONTEXT_INTERRUPT: u8 = 2;
/// [`Header::context`]: in another kernel thread, such as a worker, on behalf of somebody else.
pub const CONTEXT_KERNEL_THREAD: u8 = 3;

/// `AF_INET` and `AF_INET6` of Linux: values of [`Header::family`].
pub const AF_INET: u16 = 2;
/// See [`AF_INET`].
pub const AF_INET6: u16 = 10;

/// [`Owner::known`]: nobody is known to own the socket.
pub const OWNER_UNKNOWN: u32 = 0;
/// [`Owner::known`]: it worked on the socket by a system call while we watched.
pub const OWNER_ACTED: u32 = 1;
/// [`Owner::known`]: it had a descriptor of the socket when we began to watch.
pub const OWNER_HELD: u32 = 2;
/// [`Owner::known`]: it owns the listener that the connection came to, and nobody has accepted it yet.
pub const OWNER_LISTENED: u32 = 3;
/// [`Owner::known`]: it was at work on the socket at that moment; whose it was before found no room, see
/// [`UNREMEMBERED`].
pub const OWNER_AT_WORK: u32 = 4;

/// [`Owner::known`]: it had the socket that had these ends last, or listened there last.
pub const OWNER_PAST: u32 = 5;

/// A process outside of the tracer's pid namespace has no id there: this bit, beside its id in the initial one, says
/// so. (No id is as large: `PID_MAX_LIMIT` in include/linux/threads.h.)
pub const OUTSIDE: u32 = 1 << 31;

/// The process that a socket belongs to.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Owner {
    /// Id of its control group in the unified hierarchy, 0 if unknown.
    pub cgroup: u64,
    /// Process id (thread group), in the tracer's pid namespace; see [`OUTSIDE`].
    pub pid: u32,
    /// Id of the thread that made the call, likewise.
    pub tid: u32,
    /// User id, in the initial user namespace.
    pub uid: u32,
    /// One of the `OWNER_` constants: how it is known.
    pub known: u32,
    /// That thread's name.
    pub comm: [u8; 16],
}

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
    /// Process id (thread group) of the current task, as in [`Owner`].
    pub pid: u32,
    /// Thread id of the current task, likewise.
    pub tid: u32,
    /// The current task's name, NUL-terminated unless all 16 bytes are used.
    pub comm: [u8; 16],
    /// Whose socket it is.
    pub owner: Owner,
    /// This host's address.
    pub local_addr: [u8; 16],
    /// The remote address.
    pub remote_addr: [u8; 16],
    /// This host's port.
    pub local_port: u16,
    /// The remote port.
    pub remote_port: u16,
    /// [`AF_INET`] or [`AF_INET6`]; a v4-mapped pair of addresses has the latter.
    pub family: u16,
    /// One of the `CONTEXT_` constants.
    pub context: u8,
    /// One of the `OPEN_` constants: how the connection opened, if it has; and [`UNREMEMBERED`].
    pub opened: u8,
}

/// A bit of [`Header::opened`]: what is remembered of the socket found no room, or had found none before, so that
/// owner, opening and times are known as far as this moment tells them.
pub const UNREMEMBERED: u8 = 0x80;

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
    /// One of the `TIME_WAIT_` constants if `new` is CLOSE.
    pub time_wait: u8,
    /// Frames that follow, or 0.
    pub frames: u16,
    /// Zero.
    pub reserved: [u8; 2],
}

/// [`Header::opened`]: it has not, or not known, because the connection opened before the trace.
pub const OPEN_UNKNOWN: u8 = 0;
/// [`Header::opened`]: SYN sent, SYN+ACK received.
pub const OPEN_ACTIVE: u8 = 1;
/// [`Header::opened`]: by way of a listener.
pub const OPEN_PASSIVE: u8 = 2;
/// [`Header::opened`]: SYN sent, SYN received (RFC 9293, section 3.5, figure 7).
pub const OPEN_SIMULTANEOUS: u8 = 3;
/// [`Header::opened`]: the same, the SYN being its own: both ends are one socket.
pub const OPEN_SELF: u8 = 4;
/// [`Header::opened`]: without a handshake, in repair mode (`TCP_REPAIR`): it continues one that another socket had.
pub const OPEN_RESTORED: u8 = 5;

/// [`Closing::time_wait`]: no minisocket took the connection over.
pub const TIME_WAIT_NONE: u8 = 0;
/// [`Closing::time_wait`]: one is in TIME_WAIT.
pub const TIME_WAIT: u8 = 1;
/// [`Closing::time_wait`]: one waits for the peer's FIN, in FIN_WAIT2.
pub const TIME_WAIT_FIN_WAIT2: u8 = 2;
/// [`Closing::time_wait`]: the table could not be read.
pub const TIME_WAIT_UNKNOWN: u8 = 3;

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
    /// Version of the IP packet that carried it: 4 or 6, and 0 if there is no segment.
    pub ip_version: u8,
    /// Identification of its IPv4 packet (RFC 791); 0 for IPv6.
    pub ip_id: u16,
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

/// How a connection opened.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Opening {
    /// Nanoseconds from the change to SYN_SENT, 0 if that was not seen.
    pub handshake_ns: u64,
    /// `srtt_us >> 3`: the round trip as TCP measured it, in microseconds; 0 if it has not.
    pub rtt_us: u32,
    /// `total_retrans`: SYNs or SYN+ACKs that were retransmitted.
    pub retransmits: u32,
    /// `ip_local_port_range` of the namespace, lowest and highest port; 0 unless it matters ([`OPEN_SELF`]).
    pub port_range: [u16; 2],
    /// Zero.
    pub reserved: u32,
}

/// A connection is established.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Open {
    /// Who, where and when.
    pub header: Header,
    /// How.
    pub opening: Opening,
}

/// A [`State`] and the [`Open`] that it is: one record, where both are wanted.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct StateWithOpen {
    /// The state change.
    pub state: State,
    /// How it opened.
    pub opening: Opening,
}

/// [`Closing::first_fin`]: no FIN was seen.
pub const FIN_NONE: u8 = 0;
/// [`Closing::first_fin`]: the local side sent its FIN first.
pub const FIN_LOCAL: u8 = 1;
/// [`Closing::first_fin`]: the peer's FIN came first.
pub const FIN_REMOTE: u8 = 2;

/// [`Closing::resets`]: a RST reset the socket.
pub const RESET_RECEIVED: u8 = 1;
/// [`Closing::resets`]: a RST was sent for the socket before it closed.
pub const RESET_SENT: u8 = 2;
/// [`Closing::resets`]: no reset at all: the socket was closed in repair mode (`TCP_REPAIR`), which sends nothing.
pub const RESET_NOTHING: u8 = 4;

/// How long a process waits for the answer to its SYN, at least, that is said to have given up: who tries several
/// addresses at once closes the slower ones earlier (RFC 8305 and its implementations).
pub const GAVE_UP_NS: u64 = 500_000_000;
/// How long a process that a signal kills must have waited for the answer to its SYN, at least.
pub const KILLED_WAITING_NS: u64 = 250_000_000;

/// [`Closing::error`]: there was an error, which the process took before the socket was closed. Up to 6.9,
/// `tcp_write_err` in net/ipv4/tcp_timer.c wakes the process first.
pub const ERROR_TAKEN: u32 = u32::MAX;

/// How a socket ended.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Closing {
    /// `CLOCK_MONOTONIC` of the first state change, 0 if the socket was opened before the trace.
    pub began_ns: u64,
    /// `CLOCK_MONOTONIC` of ESTABLISHED, 0 if that was not seen.
    pub opened_ns: u64,
    /// `bytes_received`, which counts a FIN as one; `u64::MAX` if unknown.
    pub bytes_received: u64,
    /// `bytes_sent - bytes_retrans`: payload, each byte once; `u64::MAX` if unknown.
    pub bytes_sent: u64,
    /// `srtt_us >> 3`, microseconds; 0 if it was never measured.
    pub rtt_us: u32,
    /// `total_retrans`: segments retransmitted.
    pub retransmits: u32,
    /// `sk_err`: a positive errno, or 0, or [`ERROR_TAKEN`].
    pub error: u32,
    /// State before, as in `include/net/tcp_states.h`.
    pub old: u8,
    /// One of the `FIN_` constants.
    pub first_fin: u8,
    /// Some of the `RESET_` bits.
    pub resets: u8,
    /// One of the `TIME_WAIT_` constants.
    pub time_wait: u8,
    /// `jiffies_64`; like all below but the signal, 0 without an error.
    pub jiffies: u64,
    /// `icsk_user_timeout`, in milliseconds.
    pub user_timeout: u32,
    /// `rcv_tstamp`: the low half of `jiffies` when the last acknowledgment came.
    pub last_ack: u32,
    /// `snd_wnd`: bytes that the peer accepts.
    pub window: u32,
    /// `snd_nxt - snd_una`: bytes sent and not acknowledged.
    pub unacked: u32,
    /// `write_seq - snd_nxt`: bytes that wait to be sent.
    pub unsent: u32,
    /// `icsk_retransmits`: retransmissions in a row.
    pub unanswered: u8,
    /// `icsk_probes_out`: keepalive or window probes without an answer.
    pub probes_out: u8,
    /// The signal that ends the current task, or 0.
    pub signal: u8,
    /// Zero.
    pub reserved: u8,
}

/// A socket that had, or tried, a connection is closed.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Close {
    /// Who, where and when.
    pub header: Header,
    /// How.
    pub closing: Closing,
}

/// A [`State`] and the [`Close`] that it is: one record, where both are wanted.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct StateWithClose {
    /// The state change.
    pub state: State,
    /// How it ended.
    pub closing: Closing,
}

/// A listener's accept queue is full. The header has the listener's end, and neither socket nor remote end.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Queue {
    /// Who, where and when.
    pub header: Header,
    /// `sk_ack_backlog`: connections that wait to be accepted.
    pub backlog: u32,
    /// `sk_max_ack_backlog`: the most that may, but for one.
    pub max_backlog: u32,
    /// Counted by user space: ListenOverflows of the namespace, since the last time.
    pub overflows: u64,
    /// Counted by user space: ListenDrops of the namespace, since the last time.
    pub drops: u64,
    /// Counted by user space: listeners of the namespace whose queues were full.
    pub listeners: u32,
    /// 1: the last ACK of a handshake was seen to find this one full.
    pub dropped: u8,
    /// 1: user space has made it, of one that the programs made before; else only what is above `overflows` is known.
    pub counted: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// Bytes kept of a process's arguments.
pub const ARGUMENTS: usize = 256;
/// Processes kept of those that a process descends from.
pub const ANCESTORS: usize = 8;

/// A process that owns sockets, seen for the first time since it started or changed its program. The
/// header has neither ends nor socket.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Process {
    /// Who and when.
    pub header: Header,
    /// Process ids of its parent, its parent's, and so on; 0 where there is none.
    pub ancestors: [u32; ANCESTORS],
    /// Bytes of arguments that the process has; [`ARGUMENTS`] of them at most are here. 0 if they
    /// could not be read.
    pub length: u32,
    /// Zero.
    pub reserved: u32,
    /// The arguments, each ending with NUL.
    pub arguments: [u8; ARGUMENTS],
}

/// A process ends that was reported as a [`Process`]. The header has neither ends nor socket.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct ProcessEnd {
    /// Who and when.
    pub header: Header,
    /// `exit_code` of the task, as wait(2) tells it: the signal in the lowest 7 bits, or the status above the lowest 8.
    pub exit_code: u32,
    /// 1 if the OOM killer chose it (`oom_mm` of `struct signal_struct`).
    pub oom: u8,
    /// 1 if a process was seen to send the signal: it is below.
    pub is_sent: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// Process id (thread group) of who sent it, in the initial pid namespace; 0 if that is not known.
    pub sender_pid: u32,
    /// Its user id, in the initial user namespace; [`u32::MAX`] if that is not known.
    pub sender_uid: u32,
    /// The name of its first thread.
    pub sender_comm: [u8; 16],
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

const _: () = assert!(size_of::<Header>() == 136);
const _: () = assert!(size_of::<State>() == 152);
const _: () = assert!(size_of::<StateWithStack>() == 280);
const _: () = assert!(size_of::<Segment>() == 20);
const _: () = assert!(size_of::<Lookup>() == 144);
const _: () = assert!(size_of::<RawSend>() == 160);
const _: () = assert!(size_of::<Open>() == 160);
const _: () = assert!(size_of::<Close>() == 216);
const _: () = assert!(size_of::<StateWithOpen>() == 176);
const _: () = assert!(size_of::<StateWithClose>() == 232);
const _: () = assert!(size_of::<Process>() == 432);
const _: () = assert!(size_of::<ProcessEnd>() == 168);
const _: () = assert!(size_of::<Queue>() == 168);
