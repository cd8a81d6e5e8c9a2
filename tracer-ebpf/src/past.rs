//! What the two ends of a RST were before: sockets that were closed, and connections that are almost it.
//!
//! Bounded: what came last is kept, see [`recent`]. A connection is kept when it is established, and what became of it
//! when it is closed, in the same entry if that is still there.

use core::mem::offset_of;

use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray},
};
use tracer_ebpf::record::{AF_INET, OWNER_UNKNOWN, Owner, PAST_CLOSED, PAST_NEAR, Past};

use crate::{
    change::Change,
    context, filter,
    memory::{Known, NOBODY, Remembered},
    recent::{self, Set},
    sock::{Access, Address, Identity, Object, v4_mapped},
    tcp, words,
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
    /// All but the addresses.
    #[inline(always)]
    const fn ports(&self) -> u64 {
        (self.netns as u64) << 32 | (self.local_port as u64) << 16 | self.remote_port as u64
    }

    /// 0 if the addresses are the same. A number, since the verifier would walk through each branch.
    #[inline(always)]
    fn apart(&self, other: &Self) -> u64 {
        self.local[0] ^ other.local[0]
            | self.local[1] ^ other.local[1]
            | self.remote[0] ^ other.remote[0]
            | self.remote[1] ^ other.remote[1]
    }

    #[inline(always)]
    fn is(&self, other: &Self) -> bool {
        self.apart(other) | self.ports() ^ other.ports() == 0
    }
}

/// A connection, and what became of it.
#[repr(C)]
struct Kept {
    begin: u64,
    ends: Ends,
    /// 0: it is not closed, and the rest means nothing.
    closed_ns: u64,
    opened_ns: u64,
    owner: Owner,
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
    reserved: [u8; 6],
    end: u64,
}

/// Connections that were established or closed last.
#[map]
static KEPT: Array<Kept> = Array::with_max_entries(recent::ENTRIES, 0);

/// The same by their ports.
#[map]
static BY_PORTS: Array<Set> = Array::with_max_entries(recent::SETS, 0);

impl recent::Entry for Kept {
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
pub(crate) fn establish(context: u8, netns: u32, ends: &Identity) -> u32 {
    let ends = of_ends(netns, ends);
    let Some(position) = recent::position(context) else { return 0 };
    let Some(kept) = recent::place::<Kept>(position) else { return 0 };
    let mark = recent::mark(position);
    // SAFETY: the map's memory. Volatile: in this order.
    unsafe {
        (&raw mut (*kept).begin).write_volatile(mark);
        words::copy(&raw mut (*kept).ends, &ends);
        (&raw mut (*kept).closed_ns).write_volatile(0);
        (&raw mut (*kept).was_open).write_volatile(1);
        (&raw mut (*kept).end).write_volatile(mark);
    }
    recent::link(&BY_PORTS, ends.ports(), position);
    position
}

/// A socket with a connection, or an attempt at one, is closed. Returns where it is kept; 0 if it is not.
#[inline(never)]
pub(crate) fn close<A: Access>(change: &Change, sk: Object<A>, ends: &Identity, socket: &Remembered) -> u32 {
    let ends = of_ends(change.netns, ends);
    let is_there = recent::at::<Kept>(socket.kept_at).is_some_and(|kept| kept.ends.is(&ends));
    let position = if is_there { Some(socket.kept_at) } else { recent::position(change.context) };
    let Some(position) = position else { return 0 };
    let Some(kept) = recent::place::<Kept>(position) else { return 0 };
    let mark = recent::mark(position);
    // SAFETY: the map's memory; all that counts is written here. Volatile: in this order.
    unsafe {
        // Nobody reads it until it ends with this mark.
        (&raw mut (*kept).end).write_volatile(0);
        (&raw mut (*kept).begin).write_volatile(mark);
        words::copy(&raw mut (*kept).ends, &ends);
        (&raw mut (*kept).unread).write_volatile(tcp::unread(sk));
        (&raw mut (*kept).closed_ns).write_volatile(change.now);
        (&raw mut (*kept).opened_ns).write_volatile(socket.opened_ns);
        words::copy(&raw mut (*kept).owner, &socket.owner);
        (&raw mut (*kept).error).write_volatile(change.error(sk, socket));
        (&raw mut (*kept).idle).write_volatile(socket.idle);
        (&raw mut (*kept).closed_from).write_volatile(socket.closed_from);
        (&raw mut (*kept).first_fin).write_volatile(socket.first_fin);
        (&raw mut (*kept).resets).write_volatile(socket.resets);
        (&raw mut (*kept).how).write_volatile(socket.how);
        (&raw mut (*kept).wanted).write_volatile(socket.wanted);
        // It was kept before, then.
        (&raw mut (*kept).was_open).write_volatile(u8::from(socket.kept_at != 0));
        (&raw mut (*kept).end).write_volatile(mark);
    }
    if !is_there {
        recent::link(&BY_PORTS, ends.ports(), position);
    }
    position
}

/// Where the past of two ends is kept.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Found {
    /// The last socket of theirs, which is closed; 0 for none.
    gone: u32,
    /// The last connection with the same ports; 0 for none.
    near: u32,
}

/// What a search has found so far: of what runs in a process, and of what interrupts. Not on the stack, where the
/// verifier would walk on with each way to find something, and older ones for seconds.
#[map]
static FOUND: PerCpuArray<Found> = PerCpuArray::with_max_entries(2, 0);

impl Found {
    /// Nothing.
    pub(crate) const NOTHING: Self = Self { gone: 0, near: 0 };
}

/// Looks for the past of two ends. `context`: one of the `CONTEXT_` constants.
#[inline(always)]
pub(crate) fn find(context: u8, netns: u32, ends: &Identity) -> Found {
    let Some(found) = FOUND.get_ptr_mut(context::slot(context)) else { return Found::NOTHING };
    // SAFETY: the slot is this CPU's and this kind of context's own. Volatile: to stay there.
    unsafe { found.write_volatile(Found::NOTHING) };
    let ends = of_ends(netns, ends);
    recent::walk(&BY_PORTS, ends.ports(), |position, kept: &Kept| {
        if kept.ends.ports() == ends.ports() && kept.was_open != 0 {
            // SAFETY: as above.
            unsafe { (&raw mut (*found).near).write_volatile(position) };
        }
        if kept.ends.is(&ends) && kept.closed_ns != 0 {
            // SAFETY: as above.
            unsafe { (&raw mut (*found).gone).write_volatile(position) };
        }
    });
    // SAFETY: as above.
    unsafe { found.read_volatile() }
}

/// Fills in what is known. `found`: see [`find`].
///
/// # Safety
/// `past` must be writable.
#[inline(always)]
pub(crate) unsafe fn write(past: *mut Past, found: Found, netns: u32, ends: &Identity) {
    // SAFETY: the caller's.
    let past = unsafe { words::clear(past) };
    past.owner.uid = NOBODY.uid;
    if let Some(kept) = gone(found) {
        // SAFETY: just cleared.
        unsafe { words::copy(&raw mut past.owner, &kept.owner) };
        past.closed_ns = kept.closed_ns;
        past.opened_ns = kept.opened_ns;
        past.unread = kept.unread;
        past.error = kept.error;
        past.closed_from = kept.closed_from;
        past.first_fin = kept.first_fin;
        past.resets = kept.resets;
        past.idle = kept.idle;
        past.known = PAST_CLOSED;
    }
    if let Some(kept) = recent::at::<Kept>(found.near)
        && !kept.ends.is(&of_ends(netns, ends))
    {
        // SAFETY: just cleared; both are at a multiple of 8 bytes (asserted below).
        unsafe {
            words::copy((&raw mut past.near_local).cast(), &kept.ends.local);
            words::copy((&raw mut past.near_remote).cast(), &kept.ends.remote);
        }
        past.known |= PAST_NEAR;
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
fn gone(found: Found) -> Option<&'static Kept> {
    recent::at(found.gone)
}

const _: () = assert!(offset_of!(Kept, end) == size_of::<Kept>() - 8);
const _: () =
    assert!(offset_of!(Past, near_local).is_multiple_of(8) && offset_of!(Past, near_remote).is_multiple_of(8));
