//! What is remembered of each socket from one event to the next: whose it is, how it opened, how it ends.
//!
//! Sockets are known by their address. State changes of one socket happen under its lock, so an entry
//! has one writer at a time; RSTs only add bits to it.

use aya_ebpf::{
    macros::map,
    maps::{HashMap, LruHashMap, PerCpuArray},
};
use tracer_ebpf::{
    listener::{Listener, Place},
    record::{AF_INET, OPEN_UNKNOWN, OWNER_UNKNOWN, Owner},
};

use crate::{
    filter,
    sock::{Identity, Object, Probed, v4_mapped},
    words,
};

/// What is known of a socket.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Remembered {
    pub(crate) owner: Owner,
    /// The first state change, 0 if it is older than the trace.
    pub(crate) began_ns: u64,
    /// ESTABLISHED, 0 if that was not seen.
    pub(crate) opened_ns: u64,
    /// 1: a filter by owner lets it pass.
    pub(crate) wanted: u8,
    /// One of the `OPEN_` constants.
    pub(crate) how: u8,
    /// The state before CLOSE, 0 if it is not closed.
    pub(crate) closed_from: u8,
    /// One of the `FIN_` constants.
    pub(crate) first_fin: u8,
    /// Some of the `RESET_` bits.
    pub(crate) resets: u8,
    /// 1: it was in SYN_SENT.
    pub(crate) sent_syn: u8,
    /// Its local port, 0 until it has one: that of the next socket at its address differs.
    pub(crate) port: u16,
    /// Where the past of its ends is kept, see [`crate::past`]; 0 if it is not.
    pub(crate) kept_at: u32,
    /// See [`crate::tcp::idle`]: when it sent its FIN, if it did so first.
    pub(crate) idle: u32,
}

/// Sockets by address. An entry goes when the kernel destroys the socket.
#[map]
static SOCKETS: HashMap<u64, Remembered> = HashMap::with_max_entries(65536, 0);

/// Listeners: a new connection does not tell which one made it, but its address and port do.
#[map]
static LISTENERS: HashMap<Place, Listener> = HashMap::with_max_entries(8192, 0);

/// Listeners that were closed last: what comes for one still concerns the process that it was of.
#[map]
static CLOSED_LISTENERS: LruHashMap<Place, Listener> = LruHashMap::with_max_entries(1024, 0);

/// Sockets that found no room.
#[map]
static UNREMEMBERED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// What an event is about, as far as the socket's past tells.
pub(crate) struct Known {
    pub(crate) owner: &'static Owner,
    /// One of the `OPEN_` constants.
    pub(crate) opened: u8,
    /// The filters that rest on the past let it pass.
    pub(crate) wanted: bool,
}

/// What the past of a socket tells, if there is a socket and it has one.
#[inline(always)]
pub(crate) fn known(entry: Option<&'static Remembered>) -> Known {
    match entry {
        Some(entry) => Known {
            owner: &entry.owner,
            opened: entry.how,
            wanted: entry.wanted != 0 && filter::wants_opened(entry.how),
        },
        None => Known {
            owner: &NOBODY,
            opened: OPEN_UNKNOWN,
            wanted: !filter::is_by_owner() && filter::wants_opened(OPEN_UNKNOWN),
        },
    }
}

/// What the listener tells that was at these ends, of what has no socket of its own: see [`last_heard`].
#[inline(always)]
pub(crate) fn known_by_listener(netns: u32, ends: &Identity) -> Option<Known> {
    let listener = last_heard(netns, ends)?;
    let wanted = listener.wanted != 0 && filter::wants_opened(OPEN_UNKNOWN);
    Some(Known { owner: &listener.owner, opened: OPEN_UNKNOWN, wanted })
}

/// What is known of a socket.
#[inline(always)]
pub(crate) fn of<A: crate::sock::Access>(sk: Object<A>) -> Option<&'static mut Remembered> {
    if sk.is_null() { None } else { at(sk.address()) }
}

/// What is known of the socket at an address.
#[inline(always)]
pub(crate) fn at(sk: u64) -> Option<&'static mut Remembered> {
    // SAFETY: entries stay valid for the program's run, and see above for writers.
    SOCKETS.get_ptr_mut(sk).map(|entry| unsafe { &mut *entry })
}

/// A socket that nothing is known of yet. It lies in the programs' read-only data, not on the stack.
static FRESH: Remembered = Remembered {
    owner: NOBODY,
    began_ns: 0,
    opened_ns: 0,
    wanted: 0,
    how: 0,
    closed_from: 0,
    first_fin: 0,
    resets: 0,
    sent_syn: 0,
    port: 0,
    kept_at: 0,
    idle: 0,
};

/// Begins to remember a socket.
#[inline(never)]
pub(crate) fn begin(sk: u64, owner: &Owner, wanted: bool, began_ns: u64) -> Option<&'static mut Remembered> {
    #[expect(clippy::needless_borrows_for_generic_args, reason = "by value it would be on the stack after all")]
    let inserted = SOCKETS.insert(sk, &FRESH, 0);
    if inserted.is_err()
        && let Some(count) = UNREMEMBERED.get_ptr_mut(0)
    {
        // SAFETY: the slot is this CPU's own.
        unsafe { *count += 1 };
    }
    let entry = at(sk)?;
    // SAFETY: the map's memory.
    unsafe { words::copy(&raw mut entry.owner, owner) };
    entry.began_ns = began_ns;
    entry.wanted = u8::from(wanted);
    Some(entry)
}

/// The socket is gone.
#[inline(always)]
pub(crate) fn forget(sk: u64) {
    // Most often there is one; it does not matter if there is none.
    let _ = SOCKETS.remove(sk);
}

/// `task` now owns the socket; whether that is of interest.
#[inline(always)]
pub(crate) fn adopt(entry: &mut Remembered, task: Object<Probed>, owner: &Owner) -> bool {
    let wanted = filter::wants_owner(owner, task);
    entry.wanted = u8::from(wanted);
    // SAFETY: the map's memory.
    unsafe { words::copy(&raw mut entry.owner, owner) };
    wanted
}

/// Nobody in particular.
pub(crate) static NOBODY: Owner =
    Owner { cgroup: 0, pid: 0, tid: 0, uid: u32::MAX, known: OWNER_UNKNOWN, comm: [0; 16] };

/// The listener that a connection came to, if there is one with an owner. Where several processes listen at
/// the same place it may be any one's.
#[inline(never)]
pub(crate) fn heard(netns: u32, ends: &Identity) -> Option<&'static Listener> {
    at_or_above(netns, ends, find).filter(|listener| listener.owner.known != OWNER_UNKNOWN)
}

/// The listener, open or closed, that what comes without a socket of its own would have come to. Where several processes
/// listened it is of none in particular.
#[inline(never)]
fn last_heard(netns: u32, ends: &Identity) -> Option<&'static Listener> {
    // SAFETY: as in `find`.
    at_or_above(netns, ends, find).or_else(|| at_or_above(netns, ends, |place| unsafe { CLOSED_LISTENERS.get(place) }))
}

/// What `find` knows of this address, or else of all of this host.
#[inline(always)]
fn at_or_above(
    netns: u32,
    ends: &Identity,
    find: impl Fn(&Place) -> Option<&'static Listener>,
) -> Option<&'static Listener> {
    let mut place = place(netns, ends);
    let is_v4 = ends.family == AF_INET || crate::sock::is_v4_mapped(ends.local);
    let listener = find(&place).or_else(|| {
        place.address = if is_v4 { v4_mapped([0; 2]) } else { [0; 2] };
        find(&place)
    });
    listener.or_else(|| {
        place.address = [0; 2];
        find(&place)
    })
}

/// A socket listens from now on.
#[inline(never)]
pub(crate) fn listen(netns: u32, ends: &Identity, owner: &Owner, wanted: bool) {
    let place = place(netns, ends);
    match LISTENERS.get_ptr_mut(place) {
        // SAFETY: the map's memory; listeners of one place come and go in user context, and a race
        // between two of them can only cost the name.
        Some(there) => unsafe {
            (*there).count += 1;
            if (*there).owner.pid != owner.pid {
                (*there).owner = NOBODY;
                (*there).wanted |= u8::from(wanted);
            }
        },
        None => {
            let listener = Listener { owner: *owner, count: 1, wanted: u8::from(wanted), reserved: [0; 3] };
            let _ = LISTENERS.insert(place, listener, 0);
        }
    }
}

/// A socket does not listen any more.
#[inline(never)]
pub(crate) fn unlisten(netns: u32, ends: &Identity) {
    let place = place(netns, ends);
    let Some(there) = LISTENERS.get_ptr_mut(place) else { return };
    // SAFETY: as in `listen`.
    let left = unsafe {
        (*there).count -= 1;
        (*there).count
    };
    if left == 0 {
        #[expect(clippy::needless_borrows_for_generic_args, reason = "by value it would be on the stack")]
        // SAFETY: as above.
        let _ = CLOSED_LISTENERS.insert(place, unsafe { &*there }, 0);
        let _ = LISTENERS.remove(place);
    }
}

#[inline(always)]
fn place(netns: u32, ends: &Identity) -> Place {
    let address = if ends.family == AF_INET { v4_mapped(ends.local) } else { ends.local };
    Place { address, netns, port: ends.local_port, reserved: 0 }
}

#[inline(always)]
fn find(place: &Place) -> Option<&'static Listener> {
    // SAFETY: entries stay valid for the program's run; one that changes meanwhile can only cost the name.
    unsafe { LISTENERS.get(place) }
}
