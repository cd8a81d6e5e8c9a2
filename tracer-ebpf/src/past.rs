//! What the two ends of a RST were before: sockets that were closed, and connections that the segment fits by its
//! sequence numbers, though their ends, or their namespace, are others: behind address translation.
//!
//! Bounded: what came last is kept, see [`recent`]. A connection is kept when it is established, and what became of it
//! when it is closed, in the same entry if that is still there.

use core::mem::offset_of;

use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray},
};
use tracer_ebpf::{
    listener::Listener,
    record::{
        AF_INET, Numbers, OWNER_UNKNOWN, Owner, PAST_CLOSED, PAST_LISTENED, PAST_OTHER, PAST_OTHER_IS_OPEN, Past,
    },
};

use crate::{
    change::Change,
    emit, filter,
    memory::{self, Known, Remembered},
    process,
    recent::{self, Set},
    sock::{self, Access, Address, Identity, Object, Probed, v4_mapped},
    tcp, twin, word_copy,
};

/// Two ends; IPv4 is v4-mapped, so that it does not matter what kind of socket it was.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Ends {
    local: Address,
    remote: Address,
    netns: u32,
    local_port: u16,
    remote_port: u16,
}

impl Ends {
    /// What both ends of a connection have in common, and the same behind translated addresses in most cases: the
    /// client's port.
    #[inline(always)]
    fn key(&self) -> u64 {
        self.local_port.max(self.remote_port).into()
    }

    /// 0 if they are the same. A number, since the verifier would walk through each branch.
    #[inline(always)]
    fn apart(&self, other: &Self) -> u64 {
        self.local[0] ^ other.local[0]
            | self.local[1] ^ other.local[1]
            | self.remote[0] ^ other.remote[0]
            | self.remote[1] ^ other.remote[1]
            | u64::from(self.netns ^ other.netns)
            | u64::from(self.local_port ^ other.local_port)
            | u64::from(self.remote_port ^ other.remote_port)
    }

    #[inline(always)]
    fn is(&self, other: &Self) -> bool {
        self.apart(other) == 0
    }
}

/// A connection, and what became of it.
#[repr(C)]
struct PastConnection {
    begin: u64,
    ends: Ends,
    /// Its socket's address while it is not closed.
    sk: u64,
    /// 0: it is not closed, and the rest means nothing.
    closed_ns: u64,
    opened_ns: u64,
    began_ns: u64,
    owner: Owner,
    numbers: Numbers,
    unread: u32,
    error: u32,
    /// See [`tcp::idle`].
    idle: u32,
    closed_from: u8,
    first_fin: u8,
    resets: u8,
    /// One of the `OPEN_` constants.
    how: u8,
    /// 1: a filter by owner lets it pass.
    wanted: u8,
    /// 1: it was established; else only an attempt.
    was_open: u8,
    /// The signal that ended the task that closed it, or 0.
    signal: u8,
    reserved: [u8; 5],
    end: u64,
}

/// Connections that were established or closed last.
#[map]
static KEPT: Array<PastConnection> = Array::with_max_entries(recent::ENTRIES, 0);

/// These connections by their clients' ports.
#[map]
static BY_PORT: Array<Set> = Array::with_max_entries(recent::SETS, 0);

impl recent::Entry for PastConnection {
    const LOG: &'static Array<Self> = &KEPT;

    #[inline(always)]
    fn marks(&self) -> [u64; 2] {
        [self.begin, self.end]
    }
}

#[inline(always)]
pub(crate) fn of_ends(netns: u32, ends: &Identity) -> Ends {
    let plain = |address| if ends.family == AF_INET { v4_mapped(address) } else { address };
    Ends {
        local: plain(ends.local),
        remote: plain(ends.remote),
        netns,
        local_port: ends.local_port,
        remote_port: ends.remote_port,
    }
}

/// A connection is there. Returns where it is kept; 0 if it is not.
#[inline(never)]
pub(crate) fn establish(context: u8, netns: u32, sk: u64, ends: &Identity) -> u32 {
    let ends = of_ends(netns, ends);
    let Some(position) = recent::position(context) else { return 0 };
    let Some(kept) = recent::place::<PastConnection>(position) else { return 0 };
    let mark = recent::mark(position);
    // SAFETY: the map's memory. Volatile: in this order.
    unsafe {
        (&raw mut (*kept).begin).write_volatile(mark);
        word_copy::copy(&raw mut (*kept).ends, &ends);
        (&raw mut (*kept).sk).write_volatile(sk);
        (&raw mut (*kept).closed_ns).write_volatile(0);
        (&raw mut (*kept).was_open).write_volatile(1);
        (&raw mut (*kept).end).write_volatile(mark);
    }
    recent::link(&BY_PORT, ends.key(), position);
    position
}

/// A socket with a connection, or an attempt at one, is closed. Returns where it is kept; 0 if it is not.
#[inline(never)]
pub(crate) fn close<A: Access>(change: &Change, sk: Object<A>, ends: &Identity, socket: &Remembered) -> u32 {
    let ends = of_ends(change.netns, ends);
    let is_there = recent::at::<PastConnection>(socket.kept_at).is_some_and(|kept| kept.ends.is(&ends));
    let position = if is_there { Some(socket.kept_at) } else { recent::position(change.context) };
    let Some(position) = position else { return 0 };
    let Some(kept) = recent::place::<PastConnection>(position) else { return 0 };
    let mark = recent::mark(position);
    // SAFETY: the map's memory; all that counts is written here. Volatile: in this order.
    unsafe {
        // Nobody reads it until it ends with this mark.
        (&raw mut (*kept).end).write_volatile(0);
        (&raw mut (*kept).begin).write_volatile(mark);
        word_copy::copy(&raw mut (*kept).ends, &ends);
        (&raw mut (*kept).numbers).write_volatile(tcp::numbers(sk));
        (&raw mut (*kept).unread).write_volatile(tcp::unread(sk));
        (&raw mut (*kept).closed_ns).write_volatile(change.now);
        (&raw mut (*kept).opened_ns).write_volatile(socket.opened_ns);
        (&raw mut (*kept).began_ns).write_volatile(socket.began_ns);
        word_copy::copy(&raw mut (*kept).owner, &socket.owner);
        (&raw mut (*kept).error).write_volatile(change.error(sk, socket));
        (&raw mut (*kept).idle).write_volatile(socket.idle);
        (&raw mut (*kept).closed_from).write_volatile(socket.closed_from);
        (&raw mut (*kept).first_fin).write_volatile(socket.first_fin);
        (&raw mut (*kept).resets).write_volatile(socket.resets);
        (&raw mut (*kept).how).write_volatile(socket.how);
        (&raw mut (*kept).wanted).write_volatile(socket.wanted);
        let signal = change.signal();
        (&raw mut (*kept).signal).write_volatile(if signal == 0 { socket.signal } else { signal });
        // It was kept before, then.
        (&raw mut (*kept).was_open).write_volatile(u8::from(socket.kept_at != 0));
        (&raw mut (*kept).end).write_volatile(mark);
    }
    // Where a server's port is above its clients', all of its connections have the same key, and push one another out.
    recent::link(&BY_PORT, ends.key(), position);
    position
}

/// A connection found no place in the accept queue: the peer considers it open. As if a socket had been closed that
/// was never one.
#[inline(never)]
pub(crate) fn refuse(context: u8, netns: u32, ends: &Identity, listener: Option<&'static Listener>) {
    let ends = of_ends(netns, ends);
    let Some(position) = recent::position(context) else { return };
    let Some(kept) = recent::place::<PastConnection>(position) else { return };
    let mark = recent::mark(position);
    // SAFETY: the map's memory. Volatile: in this order.
    unsafe {
        word_copy::clear(kept);
        (&raw mut (*kept).begin).write_volatile(mark);
        word_copy::copy(&raw mut (*kept).ends, &ends);
        (&raw mut (*kept).closed_ns).write_volatile(emit::now());
        if let Some(listener) = listener {
            word_copy::copy(&raw mut (*kept).owner, &listener.owner);
            (&raw mut (*kept).wanted).write_volatile(listener.wanted);
        }
        (&raw mut (*kept).closed_from).write_volatile(tcp::TCP_NEW_SYN_RECV);
        (&raw mut (*kept).end).write_volatile(mark);
    }
    recent::link(&BY_PORT, ends.key(), position);
}

/// Where what is known of a segment's ends is kept.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Found {
    /// The last socket of theirs, which is closed; 0 for none.
    pub(crate) gone: u32,
    /// Another connection that the segment fits; 0 for none.
    pub(crate) other: u32,
}

/// What is looked for, and what was found so far: of what runs in a process, and of what interrupts. Not on the stack,
/// where the verifier would walk on with each way to find something, and older ones for seconds.
#[derive(Clone, Copy)]
#[repr(C)]
struct Search {
    ends: Ends,
    segment: Wanted,
    /// The last socket of these ends.
    last: u32,
    /// The last one of them that the segment fits.
    fitting: u32,
    other: u32,
    reserved: u32,
    /// Sequence numbers of the connection that is looked at.
    numbers: Numbers,
}

#[map]
static SEARCH: PerCpuArray<Search> = PerCpuArray::with_max_entries(twin::SLOTS, 0);

/// The numbers of a segment whose connection is looked for.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Wanted {
    /// Its sequence number.
    pub(crate) seq: u32,
    /// Its acknowledgment number.
    pub(crate) ack: u32,
    /// How far it may be ahead of what is expected.
    pub(crate) ahead: u32,
    /// 1 if it has both numbers.
    pub(crate) is_known: u32,
}

/// How far a segment may be ahead: as far as a window goes.
pub(crate) const WINDOW: u32 = 1 << 22;

impl Found {
    /// Nothing.
    pub(crate) const NOTHING: Self = Self { gone: 0, other: 0 };

    /// The indices, whose ranges the verifier forgets, see [`crate::verifier::hide_value`].
    #[inline(always)]
    pub(crate) fn forgotten(self) -> Self {
        Self { gone: crate::verifier::hide_value(self.gone), other: crate::verifier::hide_value(self.other) }
    }

    /// 1 if there is something.
    #[inline(always)]
    pub(crate) fn is_any(self) -> u32 {
        u32::from(self.gone | self.other != 0)
    }
}

/// Looks for the past of two ends, and for the connection that a segment fits. `slot`: see [`twin::slot`].
#[inline(always)]
pub(crate) fn find(slot: u32, netns: u32, ends: &Identity, segment: Wanted) -> Found {
    let Some(search) = SEARCH.get_ptr_mut(slot) else { return Found::NOTHING };
    // SAFETY: the slot is this CPU's and this program's own. Volatile: to stay there.
    unsafe {
        word_copy::copy(&raw mut (*search).ends, &of_ends(netns, ends));
        (&raw mut (*search).segment).write_volatile(segment);
        (&raw mut (*search).last).write_volatile(0);
        (&raw mut (*search).fitting).write_volatile(0);
        (&raw mut (*search).other).write_volatile(0);
    }
    search_past(slot);
    // SAFETY: as above.
    unsafe {
        let (last, fitting) =
            ((&raw const (*search).last).read_volatile(), (&raw const (*search).fitting).read_volatile());
        Found { gone: if fitting == 0 { last } else { fitting }, other: (&raw const (*search).other).read_volatile() }
    }
}

/// Searches for what the slot has. For the number that it returns see [`write`].
///
/// A function that others may call, too, and that gets numbers only: the verifier verifies it by itself, once (global
/// functions, 5.6 and later), and not on each way on which it is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn search_past(slot: u32) -> u32 {
    let Some(search) = SEARCH.get_ptr_mut(slot) else { return 0 };
    // SAFETY: a slot of this CPU's own, see `find`.
    let key = unsafe { (*search).ends.key() };
    recent::walk(&BY_PORT, key, |position, _: &PastConnection| {
        number_past(slot, position);
        consider_past(slot, position);
    });
    0
}

/// Puts the numbers of a connection into the slot; as [`search_past`]. Not in [`consider_past`], since the stack has
/// not room for what both need.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn number_past(slot: u32, position: u32) -> u32 {
    let Some(search) = SEARCH.get_ptr_mut(slot) else { return 0 };
    let Some(kept) = recent::at::<PastConnection>(position) else { return 0 };
    // SAFETY: a slot of this CPU's own, see `find`. Volatile: to stay there.
    unsafe {
        let numbers = &raw mut (*search).numbers;
        if kept.closed_ns == 0 {
            numbers.write_volatile(live(kept));
        } else {
            word_copy::copy_halves(numbers, &kept.numbers);
        }
    }
    0
}

/// Looks whether a connection is what is searched for; as [`search_past`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn consider_past(slot: u32, position: u32) -> u32 {
    let Some(search) = SEARCH.get_ptr_mut(slot) else { return 0 };
    let Some(kept) = recent::at::<PastConnection>(position) else { return 0 };
    // SAFETY: a slot of this CPU's own, see `find`. Volatile: to stay there.
    unsafe {
        let wanted = (&raw const (*search).segment).read_volatile();
        let is_same = kept.ends.is(&(*search).ends);
        let is_closed = kept.closed_ns != 0;
        if is_same && is_closed {
            (&raw mut (*search).last).write_volatile(position);
        }
        if wanted.is_known == 0 || is_same && !is_closed {
            return 0;
        }
        let numbers = &(*search).numbers;
        let behind = wanted.ack.wrapping_sub(numbers.snd_first) <= numbers.snd_next.wrapping_sub(numbers.snd_first);
        let room = numbers.rcv_next.wrapping_sub(numbers.rcv_first).wrapping_add(wanted.ahead);
        let within = wanted.seq.wrapping_sub(numbers.rcv_first) <= room;
        if !(behind & within) {
            return 0;
        }
        if is_same {
            (&raw mut (*search).fitting).write_volatile(position);
        } else if kept.was_open != 0 {
            (&raw mut (*search).other).write_volatile(position);
        }
    }
    0
}

/// The numbers of a connection that is not closed, as they are now; none if its socket is gone.
#[inline(always)]
fn live(kept: &PastConnection) -> Numbers {
    let sk = Object::<Probed>::new(kept.sk as *const u8);
    let ends = of_ends(kept.ends.netns, &sock::identity(sk));
    if kept.ends.is(&ends) {
        tcp::numbers(sk)
    } else {
        // Nothing fits what ends before it begins.
        Numbers { snd_first: 0, snd_next: 0, rcv_first: 0, rcv_next: 0 }
    }
}

/// Fills in what is known. `found`: see [`find`].
///
/// A function of its own, or what calls it grows so much that the compiler makes a function of that. It returns a
/// number, since older verifiers look at what a function leaves in the register for that, and allow no address there.
///
/// # Safety
/// `past` must be writable.
#[inline(never)]
pub(crate) unsafe fn write(past: *mut Past, found: Found) -> u32 {
    // SAFETY: the caller's.
    let past = unsafe { word_copy::clear(past) };
    past.owner.uid = process::NOBODY.uid;
    past.other.owner.uid = process::NOBODY.uid;
    if let Some(kept) = gone(found) {
        // SAFETY: just cleared.
        unsafe { word_copy::copy(&raw mut past.owner, &kept.owner) };
        past.closed_ns = kept.closed_ns;
        past.opened_ns = kept.opened_ns;
        past.began_ns = kept.began_ns;
        past.unread = kept.unread;
        past.error = kept.error;
        past.closed_from = kept.closed_from;
        past.first_fin = kept.first_fin;
        past.resets = kept.resets;
        past.idle = kept.idle;
        // SAFETY: a member.
        unsafe { word_copy::copy_halves(&raw mut past.numbers, &kept.numbers) };
        past.signal = kept.signal;
        past.known = PAST_CLOSED;
    }
    if let Some(kept) = recent::at::<PastConnection>(found.other) {
        let is_open = kept.closed_ns == 0;
        let of_socket = memory::at(kept.sk).map_or(&process::NOBODY, |entry| &entry.owner);
        // SAFETY: just cleared; all are at a multiple of 8 bytes (asserted below).
        unsafe {
            word_copy::copy(&raw mut past.other.owner, if is_open { of_socket } else { &kept.owner });
            word_copy::copy((&raw mut past.other.local).cast(), &kept.ends.local);
            word_copy::copy((&raw mut past.other.remote).cast(), &kept.ends.remote);
        }
        past.other.netns = kept.ends.netns;
        past.other.local_port = kept.ends.local_port;
        past.other.remote_port = kept.ends.remote_port;
        past.known |= PAST_OTHER | if is_open { PAST_OTHER_IS_OPEN } else { 0 };
    }
    past.known.into()
}

/// Fills in the listener that was closed at the local address, where no socket of both ends was; as [`write`].
///
/// # Safety
/// `past` must be initialized.
#[inline(always)]
pub(crate) unsafe fn write_closed_listener(past: *mut Past, netns: u32, ends: &Identity) -> u32 {
    // SAFETY: the caller's; for the places see `write`.
    let past = unsafe { &mut *past };
    if past.known & PAST_CLOSED == 0
        && let Some(listener) = memory::listened(netns, ends)
    {
        // SAFETY: a member.
        unsafe { word_copy::copy(&raw mut past.owner, &listener.owner) };
        past.closed_ns = listener.closed_ns;
        past.signal = listener.signal;
        past.known |= PAST_LISTENED;
    }
    past.known.into()
}

/// Fills in the listener that a SYN was for; as [`write`].
///
/// # Safety
/// `past` must be initialized.
#[inline(always)]
pub(crate) unsafe fn write_listener(past: *mut Past, listener: &Listener, netns: u32, ends: &Identity) -> u32 {
    let ends = of_ends(netns, ends);
    // SAFETY: the caller's; for the places see `write`.
    unsafe {
        let past = &mut *past;
        word_copy::copy(&raw mut past.other.owner, &listener.owner);
        word_copy::copy((&raw mut past.other.local).cast(), &ends.remote);
        past.other.netns = netns;
        past.other.local_port = ends.remote_port;
        past.known |= PAST_OTHER | PAST_OTHER_IS_OPEN;
        past.known.into()
    }
}

/// What is known of the socket that had these ends last, if there was one whose owner is known.
#[inline(always)]
pub(crate) fn known(found: Found) -> Option<Known> {
    let kept = gone(found).filter(|kept| kept.owner.known != OWNER_UNKNOWN)?;
    let wanted = kept.wanted != 0 && filter::wants_opened(kept.how);
    Some(Known { owner: &kept.owner, opened: kept.how, wanted })
}

#[inline(always)]
fn gone(found: Found) -> Option<&'static PastConnection> {
    recent::at(found.gone)
}

const _: () = assert!(offset_of!(PastConnection, end) == size_of::<PastConnection>() - 8);
const _: () =
    assert!(offset_of!(Past, other.local).is_multiple_of(8) && offset_of!(Past, other.owner).is_multiple_of(8));
