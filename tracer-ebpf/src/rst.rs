//! What is told of a RST, whichever probe saw it.

use aya_ebpf::Global;
use aya_log_ebpf::debug;
use tracer_ebpf::record::{
    CONTEXT_INTERRUPT, CONTEXT_KERNEL_THREAD, CONTEXT_PROCESS, CONTEXT_UNKNOWN, KIND_CLOSE, KIND_RST, KIND_STRAY,
    NO_REASON, OPEN_UNKNOWN, OWNER_PAST, OWNER_UNKNOWN, Owner, RESET_RECEIVED, RESET_SENT, RST_FRAMES, RST_RECEIVED,
    RST_SENT_ACTIVE, RST_SENT_PASSIVE, RST_STRAY, Rst, Segment,
};

use crate::{
    announce, baseline,
    change::{self, ECONNABORTED},
    emit::{self, About},
    filter,
    inquiry::{self, Subject},
    memory::{self, Known},
    offset,
    past::{self, Found, Wanted},
    queue,
    segment::{self, Packet},
    shortage,
    sock::{self, Access, Identity, Object},
    stack::{self, Context, Depth},
    tcp::{
        self, TCP_CLOSE, TCP_CLOSING, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_LISTEN, TCP_SYN_SENT,
        TCP_TIME_WAIT,
    },
    twin::{self, Taken},
    verifier, word_copy,
};

/// 1: every RST's stack is taken.
#[unsafe(no_mangle)]
static STACKS: Global<u8> = Global::new(0);

/// `SK_RST_REASON_TCP_STATE` of this kernel, or [`NO_REASON`].
#[unsafe(no_mangle)]
static TCP_STATE: Global<u32> = Global::new(NO_REASON);

/// An answer to the segment in `skb`; `at_entry` if the kernel has yet to decide whether it answers.
#[inline(always)]
pub(crate) fn passive<A: Access>(
    ctx: &impl Context,
    taken: Taken,
    sk: Object<A>,
    skb: Object<A>,
    reason: u32,
    at_entry: bool,
) {
    let Some(packet) = segment::received(skb) else { return };
    if at_entry && packet.goes_unanswered(skb, !sk.is_null()) {
        return;
    }
    let netns = if sk.is_null() { sock::skb_netns(skb) } else { sock::netns(sk) };
    let direction = RST_SENT_PASSIVE;
    report(ctx, sk, Seen { taken, direction, netns, ends: packet.ends(), segment: packet.segment, reason });
}

#[inline(always)]
pub(crate) fn active<A: Access>(ctx: &impl Context, taken: Taken, sk: Object<A>, reason: u32) {
    if !sk.is_null() {
        let (netns, ends) = (sock::netns(sk), sock::full_identity(sk));
        // Of others the change to CLOSE, which comes first, tells whose doing it is.
        if taken.context == CONTEXT_PROCESS
            && sk.get(&offset::SK_STATE) != Some(TCP_CLOSE)
            && sk.get(&offset::SK_ERR) != Some(ECONNABORTED)
            && filter::wants_netns(netns)
            && filter::wants_ends(&ends)
            && take_over(sk.address())
        {
            announce::announce();
        }
        let direction = RST_SENT_ACTIVE;
        report(ctx, sk, Seen { taken, direction, netns, ends, segment: segment::NONE, reason });
    }
}

/// The current task aborts a connection that is still open, as MPTCP does with a subflow: so it owns the socket. Returns
/// whether the owner is of interest.
#[inline(never)]
fn take_over(sk: u64) -> bool {
    memory::at(sk).is_some_and(memory::adopt_by_current)
}

#[inline(always)]
pub(crate) fn received<A: Access>(ctx: &impl Context, taken: Taken, sk: Object<A>, packet: Option<Packet>) {
    // Data after close() resets the socket as if by a RST: the kernel then sends one, and none has come
    // (tcp_rcv_state_process in net/ipv4/tcp_input.c).
    if packet.as_ref().is_some_and(|packet| !packet.is_rst()) {
        return;
    }
    let segment = packet.map_or_else(|| baseline::incoming(sk), |packet| packet.segment);
    let (netns, ends) = (sock::netns(sk), sock::full_identity(sk));
    let direction = RST_RECEIVED;
    report(ctx, sk, Seen { taken, direction, netns, ends, segment, reason: NO_REASON });
}

/// How much of a [`Rst`] its record has.
const PART_BARE: u32 = 0;
const PART_WITH_PAST: u32 = 1;
const PART_WHOLE: u32 = 2;

/// A RST, as a probe sees it.
pub(crate) struct Seen {
    pub(crate) taken: Taken,
    /// One of the `RST_` constants.
    pub(crate) direction: u8,
    pub(crate) netns: u32,
    pub(crate) ends: Identity,
    /// The segment that it answers, or itself.
    pub(crate) segment: Segment,
    pub(crate) reason: u32,
}

/// Puts a RST into the ring buffer.
#[inline(always)]
pub(crate) fn report<A: Access>(ctx: &impl Context, sk: Object<A>, seen: Seen) {
    let Seen { taken, direction, netns, ends, segment, reason } = seen;
    // Else the verifier would walk through all that follows once for each way through the filters.
    if verifier::hide_value((filter::wants_netns(netns) && filter::wants_ends(&ends)).into()) == 0 {
        return;
    }
    let Taken { context, slot } = taken;
    let slot = twin::slot(direction, slot);
    let Some((subject, owner)) = inquiry::about(slot, &Subject { ends, segment, netns }) else { return };
    let Subject { ends, segment, .. } = subject;
    let mut entry = memory::of(sk);
    let mut gap = 0;
    if entry.is_none() {
        let state = if sk.is_null() { 0 } else { sk.get(&offset::SK_STATE).unwrap_or(0) };
        gap = memory::gap(tcp::is_full(state));
        // Only an abort is a task's own doing.
        if gap != 0 && direction == RST_SENT_ACTIVE && !change::is_closed_by_chance(sk) {
            entry = memory::at_work(context);
        }
    }
    let mut closed_from = 0;
    let has_entry = entry.is_some();
    if let Some(entry) = &mut entry {
        entry.resets |= match direction {
            RST_RECEIVED => RESET_RECEIVED,
            RST_SENT_ACTIVE => RESET_SENT,
            // A RST that answers a segment need not end the connection.
            _ => 0,
        };
        closed_from = entry.closed_from;
    }
    let known = memory::known(entry.map(|entry| &*entry), gap);
    let told = Told::of(owner, &known, false).forgotten();
    // Of an entry or of none, the verifier has not to know any more.
    let has_entry = verifier::hide_value(has_entry.into()) != 0;
    let kind = if direction == RST_STRAY { KIND_STRAY } else { KIND_RST };
    // What the record is made of is borrowed as a whole: by parts it would take more of the stack than there is.
    let socket = &Socket::of(sk, closed_from).forgotten(!sk.is_null());
    // Data that comes after close() resets the socket as if a RST had come: that one was sent, its close must tell.
    let is_of_close = || direction == RST_RECEIVED && segment.ip_version == 0 && is_closing(socket.state);
    if !(filter::reports(kind) || filter::reports(KIND_CLOSE) && is_of_close()) {
        return;
    }
    let past = &if verifier::hide_value(is_searched(direction, socket).into()) != 0 {
        past::find(slot, netns, ends, numbers(sk, direction, segment, socket))
    } else {
        Found::NOTHING
    };
    // Where no socket is left to have an owner, or a minisocket only, or one that was destroyed while it still sends
    // its answer, who had it last has; or who listened there.
    let has_owner = has_entry || socket.is_full && socket.state != TCP_CLOSE;
    let told = if has_owner {
        told
    } else if let Some(known) = past::known(*past) {
        Told::of(owner, &known, true)
    } else {
        match inquiry::owner_by_listener(slot) {
            0 => told,
            found => Told {
                opened: OPEN_UNKNOWN,
                wanted: found & inquiry::IS_WANTED != 0,
                is_undecided: false,
                is_past: true,
            },
        }
    }
    .forgotten();
    if !told.wanted {
        if told.is_undecided {
            shortage::undecided(kind, context);
        }
        return;
    }
    debug!(ctx, "rst direction {} reason {} flags {:x}", direction, reason, segment.flags);
    let is_refused = direction == RST_RECEIVED && socket.state == TCP_SYN_SENT && inquiry::is_listener_there(slot) != 0;
    let is_refused = verifier::hide_value(is_refused.into()) != 0;
    let past = &past.forgotten();
    // SAFETY: the slot is this CPU's and this kind of context's own.
    let owner = unsafe { &*owner };
    let about = &About { now: emit::now(), netns, context, ends, owner, opened: told.opened };
    let is_told = match direction {
        // MPTCP aborts a subflow before it closes it, for the same reasons.
        RST_SENT_ACTIVE if socket.state != TCP_CLOSE => false,
        RST_SENT_ACTIVE => {
            let by_linger = || socket.is_full && tcp::is_closed_by_linger_zero(sk, socket.state, socket.closed_from);
            names_cause(reason) && (reason != TCP_STATE.load() || by_linger())
        }
        RST_SENT_PASSIVE => names_cause(reason),
        // Only the stack tells that TCP dropped it.
        RST_STRAY => false,
        // Data that comes after close() is not taken for it.
        _ => segment.ip_version != 0 || !is_closing(socket.state),
    };
    let frames = depth(direction, context, is_told).map_or(0, Depth::frames::<RST_FRAMES>);
    let part = match frames {
        0 if socket.is_of_connection && !is_refused && past.is_any() == 0 => PART_BARE,
        0 => PART_WITH_PAST,
        _ => PART_WHOLE,
    };
    let chosen = verifier::hide_value(part | frames << 8);
    let (size, frames) = match chosen & 0xff {
        PART_WHOLE => (Rst::WHOLE, chosen >> 8),
        PART_WITH_PAST => (Rst::WITH_PAST, 0),
        _ => (Rst::BARE, 0),
    };
    if size >= Rst::WITH_PAST {
        let closed = if sk.is_null() || socket.state == TCP_LISTEN { inquiry::CLOSED_LISTENER } else { 0 };
        let refused = if is_refused { inquiry::REFUSED } else { 0 };
        inquiry::fill_past(slot, past.gone, past.other, closed | refused);
    }
    let Some(known_before) = inquiry::past_of(slot) else { return };
    // Not by a closure: the compiler may make a function of it, which reads the size from where it was put on the
    // stack. Verifiers before 6.2 forget that this matters, and remove what is done for one of the sizes only.
    let Some(mut reserved) = emit::reserve(kind, context, size) else { return };
    let record: *mut Rst = reserved.place().cast();
    // SAFETY: `record` is reserved memory, of that type as far as its size goes; all that counts is written here.
    unsafe {
        emit::write_about(&raw mut (*record).header, kind, size, about, sk);
        // Of several that listened it is none's.
        if told.is_past && owner.known != OWNER_UNKNOWN {
            (&raw mut (*record).header.owner.known).write(OWNER_PAST);
        }
        word_copy::copy_halves(&raw mut (*record).segment, segment);
        (&raw mut (*record).reason).write(reason);
        (&raw mut (*record).direction).write(direction);
        (&raw mut (*record).socket_state).write(socket.state);
        (&raw mut (*record).closed_from).write(socket.closed_from);
        let mut has_circumstances = u8::from(socket.is_full);
        // The verifier wants to see here that there is one.
        if socket.is_full && !sk.is_null() {
            tcp::write_circumstances(&raw mut (*record).circumstances, sk);
            if direction == RST_SENT_ACTIVE {
                (&raw mut (*record).circumstances.backlog).write(queue::left_by_current(netns, ends));
            }
        } else {
            let circumstances = word_copy::clear(&raw mut (*record).circumstances);
            circumstances.jiffies = tcp::now();
            if socket.state == TCP_TIME_WAIT {
                circumstances.rcv_nxt = sk.untyped().get(&offset::TW_RCV_NXT).unwrap_or(0);
                circumstances.snd_nxt = sk.untyped().get(&offset::TW_SND_NXT).unwrap_or(0);
                has_circumstances = 2;
                // It may wait for the peer's FIN.
                let substate = sk.untyped().get(&offset::TW_SUBSTATE).unwrap_or(TCP_TIME_WAIT);
                (&raw mut (*record).socket_state).write(substate);
            }
        }
        (&raw mut (*record).has_circumstances).write(has_circumstances);
        baseline::write(&raw mut (*record).heard, sk, ends);
        if size >= Rst::WITH_PAST {
            word_copy::copy(&raw mut (*record).past, known_before);
        }
        let mut got = 0;
        if size >= Rst::WHOLE {
            got = stack::write::<RST_FRAMES>(ctx, frames, &raw mut (*record).stack);
        }
        (&raw mut (*record).frames).write(got);
    }
    reserved.submit();
}

/// What is known of whose a RST is, besides the owner.
#[derive(Clone, Copy)]
struct Told {
    /// One of the `OPEN_` constants.
    opened: u8,
    /// The filters let it pass.
    wanted: bool,
    /// See [`Known::is_undecided`].
    is_undecided: bool,
    /// It is of who had the socket last.
    is_past: bool,
}

impl Told {
    /// Copies the owner to its place.
    #[inline(always)]
    fn of(owner: *mut Owner, known: &Known, is_past: bool) -> Self {
        // SAFETY: the slot is this CPU's and this kind of context's own.
        unsafe { word_copy::copy(owner, known.owner) };
        Self { opened: known.opened, wanted: known.wanted, is_undecided: known.is_undecided(), is_past }
    }

    /// The facts with fields whose ranges the verifier forgets, see [`verifier::hide_value`].
    #[inline(always)]
    fn forgotten(self) -> Self {
        let bytes = [self.opened, self.wanted.into(), self.is_undecided.into(), self.is_past.into()];
        let [opened, wanted, is_undecided, is_past] = verifier::hide_value(u32::from_ne_bytes(bytes)).to_ne_bytes();
        Self { opened, wanted: wanted != 0, is_undecided: is_undecided != 0, is_past: is_past != 0 }
    }
}

/// Whether the past of the two ends matters, or which connection the segment fits: where there is none, and of a RST
/// that came, whether the peer is here.
#[inline(always)]
fn is_searched(direction: u8, socket: &Socket) -> bool {
    let has_peer = socket.is_full && socket.state != TCP_SYN_SENT;
    !socket.is_of_connection || direction == RST_RECEIVED && has_peer
}

/// What to look for, see [`is_searched`].
#[inline(always)]
fn numbers<A: Access>(sk: Object<A>, direction: u8, segment: &Segment, socket: &Socket) -> Wanted {
    const ACK: u16 = 16;
    if direction == RST_RECEIVED && socket.is_full && !sk.is_null() {
        let (seq, ack) = tcp::next(sk);
        return Wanted { seq, ack, ahead: 0, is_known: 1 };
    }
    let &Segment { seq, ack, flags, .. } = segment;
    Wanted { seq, ack, ahead: past::WINDOW, is_known: u32::from(flags & ACK != 0) }
}

/// What the socket of a RST is, if there is one.
struct Socket {
    /// 0 without one.
    state: u8,
    /// The state before CLOSE, 0 if it is not closed.
    closed_from: u8,
    /// It is a `struct sock`.
    is_full: bool,
    /// It has a connection, or has just had one. Where there is none, the one that was there before matters.
    is_of_connection: bool,
}

impl Socket {
    #[inline(always)]
    fn of<A: Access>(sk: Object<A>, closed_from: u8) -> Self {
        let state = if sk.is_null() { 0 } else { sk.get(&offset::SK_STATE).unwrap_or(0) };
        // By bits and not by branches, of which the verifier would walk each.
        let was_closed = u32::from(closed_from != 0) << TCP_CLOSE;
        let is_in = |states: u32| states >> (state & 31) & 1 != 0;
        Self {
            state,
            closed_from,
            is_full: is_in(tcp::FULL),
            is_of_connection: is_in(tcp::FULL & !(1 << TCP_LISTEN | 1 << TCP_CLOSE) | was_closed),
        }
    }

    /// The socket with fields whose ranges the verifier forgets, see [`verifier::hide_value`]. `is_there`: there is one.
    #[inline(always)]
    fn forgotten(self, is_there: bool) -> Self {
        let bytes = [self.state, self.closed_from, self.is_full.into(), self.is_of_connection.into()];
        let [state, closed_from, is_full, is_of_connection] =
            verifier::hide_value(u32::from_ne_bytes(bytes)).to_ne_bytes();
        Self { state, closed_from, is_full: is_full != 0 && is_there, is_of_connection: is_of_connection != 0 }
    }
}

/// How much of the stack says why, or in which context; none where the rest of the record does: it costs more than all
/// of that. `is_told`: what it is does not depend on the stack.
#[inline(always)]
fn depth(direction: u8, context: u8, is_told: bool) -> Option<Depth> {
    let is_of_packet = direction == RST_RECEIVED || direction == RST_SENT_PASSIVE;
    match context {
        // What it is must be told by the stack, and so must what a kernel thread does on somebody's behalf.
        CONTEXT_UNKNOWN | CONTEXT_KERNEL_THREAD => Some(Depth::Whole),
        CONTEXT_INTERRUPT if !is_of_packet => Some(Depth::Timer),
        _ if is_told && STACKS.load() == 0 => None,
        _ if is_of_packet => Some(Depth::Packet),
        _ if STACKS.load() == 0 => Some(Depth::Call),
        _ => Some(Depth::Whole),
    }
}

/// The reason is one, though not always of one cause only: [`TCP_STATE`] is of many.
#[inline(always)]
const fn names_cause(reason: u32) -> bool {
    const NOT_SPECIFIED: u32 = 0;
    reason != NO_REASON && reason != NOT_SPECIFIED
}

/// The local FIN is sent.
#[inline(always)]
const fn is_closing(state: u8) -> bool {
    matches!(state, TCP_FIN_WAIT1 | TCP_FIN_WAIT2 | TCP_CLOSING | TCP_LAST_ACK)
}
