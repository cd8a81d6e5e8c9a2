//! What is remembered of each socket from one event to the next: whose it is, how it opened, how it ends.
//!
//! Sockets are known by their address. State changes of one socket happen under its lock, so an entry
//! has one writer at a time; RSTs only add bits to it.

use aya_ebpf::{
    helpers::bpf_get_smp_processor_id,
    macros::map,
    maps::{HashMap, LruHashMap},
};
use tracer_ebpf::{
    listener::{Listener, ListenerKey},
    record::{
        AF_INET, CONTEXT_PROCESS, OPEN_UNKNOWN, OWNER_ACTED, OWNER_AT_WORK, OWNER_HELD, OWNER_UNKNOWN, Owner,
        UNREMEMBERED,
    },
    room,
};

use crate::{
    context, filter, process, shortage,
    sock::{Identity, Object, Probed, v4_mapped},
    task, word_copy,
};

/// What is known of a socket.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Remembered {
    pub(crate) owner: Owner,
    /// The first state change, 0 if it was opened before the trace.
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
    /// [`UNREMEMBERED`], or 0: all that happened since it began is here.
    pub(crate) gap: u8,
    /// The signal that ended the task that sent its FIN, or 0.
    pub(crate) signal: u8,
    pub(crate) reserved: [u8; 6],
}

const _: () = assert!(size_of::<Remembered>() == room::REMEMBERED);

/// Sockets by address. An entry goes when the kernel destroys the socket. The loader sets the size, and puts the
/// [stand-ins](stand_in) there.
#[map]
static SOCKETS: HashMap<u64, Remembered> = HashMap::with_max_entries(65536, 0);

/// Listeners: a new connection does not tell which one made it, but its address and port do. The loader sets the size.
#[map]
static LISTENERS: HashMap<ListenerKey, Listener> = HashMap::with_max_entries(8192, 0);

/// A listener that was closed.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Closed {
    /// Who closed it.
    pub(crate) owner: Owner,
    pub(crate) closed_ns: u64,
    /// The signal that ended the task that closed it, or 0.
    pub(crate) signal: u8,
    /// 1: a filter by owner lets it pass.
    wanted: u8,
    /// 1: several processes listened there.
    shared: u8,
    reserved: [u8; 5],
}

/// The last listener of each place that was closed: what comes for one still concerns the process that it was of.
#[map]
static CLOSED: LruHashMap<ListenerKey, Closed> = LruHashMap::with_max_entries(1024, 0);

/// What an event is about, as far as the socket's past tells.
pub(crate) struct Known {
    pub(crate) owner: &'static Owner,
    /// What [`tracer_ebpf::record::Header::opened`] is to be.
    pub(crate) opened: u8,
    /// The filters that rest on the past let it pass.
    pub(crate) wanted: bool,
}

/// What the past of a socket tells, if there is a socket and it has one. `gap`: it has none, and [may have found no
/// room](gap).
#[inline(always)]
pub(crate) fn known(entry: Option<&'static Remembered>, gap: u8) -> Known {
    match entry {
        Some(entry) => Known {
            owner: &entry.owner,
            opened: entry.how | entry.gap,
            wanted: entry.wanted != 0 && filter::wants_opened(entry.how),
        },
        None => Known {
            owner: &process::NOBODY,
            opened: OPEN_UNKNOWN | gap,
            wanted: !filter::is_by_owner() && filter::wants_opened(OPEN_UNKNOWN),
        },
    }
}

/// What the listener tells, open or closed, that what comes without a socket of its own would have come to. Where
/// several processes listened it is of none in particular.
#[inline(always)]
pub(crate) fn known_by_listener(netns: u32, ends: &Identity) -> Option<Known> {
    let (owner, wanted) = match at_or_above(netns, ends, find) {
        Some(open) => (&open.owner, open.wanted),
        None => {
            let closed = listened(netns, ends)?;
            (if closed.shared == 0 { &closed.owner } else { &process::NOBODY }, closed.wanted)
        }
    };
    let wanted = wanted != 0 && filter::wants_opened(OPEN_UNKNOWN);
    Some(Known { owner, opened: OPEN_UNKNOWN, wanted })
}

impl Known {
    /// That it is not wanted is not known: what the filters ask for found no room.
    #[inline(always)]
    pub(crate) fn is_undecided(&self) -> bool {
        if self.opened & UNREMEMBERED == 0 || self.wanted {
            return false;
        }
        let is_owner_told = self.owner.known != OWNER_UNKNOWN || !filter::is_by_owner();
        !is_owner_told || self.opened == UNREMEMBERED | OPEN_UNKNOWN && filter::is_by_opening()
    }
}

/// [`UNREMEMBERED`] if a socket that nothing is remembered of may have found no room, else 0.
#[inline(always)]
pub(crate) fn gap(is_socket: bool) -> u8 {
    if is_socket && shortage::is_of(room::SOCKETS) { UNREMEMBERED } else { 0 }
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
    owner: process::NOBODY,
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
    gap: 0,
    signal: 0,
    reserved: [0; 6],
};

/// Begins to remember a socket. Where there is no room the entry is a [stand-in](stand_in), of this event only.
#[inline(never)]
pub(crate) fn begin(
    sk: u64,
    owner: &Owner,
    wanted: bool,
    began_ns: u64,
    context: u8,
) -> Option<&'static mut Remembered> {
    #[expect(clippy::needless_borrows_for_generic_args, reason = "by value it would be on the stack after all")]
    let is_kept = SOCKETS.insert(sk, &FRESH, 0).is_ok();
    let is_short = shortage::is_of(room::SOCKETS);
    // Each socket once, and not again with each of its events.
    if !is_kept && (began_ns != 0 || owner.known == OWNER_HELD || !is_short) {
        shortage::count(room::SOCKETS, context);
    }
    let entry = at(if is_kept { sk } else { stand_in(context) })?;
    if !is_kept {
        // SAFETY: the map's memory.
        unsafe { word_copy::copy(entry, &FRESH) };
    }
    // SAFETY: the map's memory.
    unsafe { word_copy::copy(&raw mut entry.owner, owner) };
    if !is_kept && owner.known == OWNER_ACTED {
        entry.owner.known = OWNER_AT_WORK;
    }
    entry.began_ns = began_ns;
    entry.wanted = u8::from(wanted);
    // It may have begun when there was no room.
    let is_gap = !is_kept || began_ns == 0 && is_short && owner.known != OWNER_HELD;
    entry.gap = if is_gap { UNREMEMBERED } else { 0 };
    Some(entry)
}

/// The key of an entry that is no socket's, but a place in the same map for one event on this CPU, in this kind of
/// context: whatever is done with an entry works with it, and the verifier need not know of two kinds.
#[inline(always)]
fn stand_in(context: u8) -> u64 {
    // SAFETY: a helper without preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    // No socket has such an address, nor does 0 mean one.
    u64::from(2 * cpu + context::slot(context) + 1)
}

/// A stand-in for what found no room of a socket: the task that is at work on it, if one is.
#[inline(never)]
pub(crate) fn at_work(context: u8) -> Option<&'static mut Remembered> {
    if context != CONTEXT_PROCESS {
        return None;
    }
    let entry = at(stand_in(context))?;
    // SAFETY: the map's memory.
    unsafe { word_copy::copy(entry, &FRESH) };
    adopt_by_current(entry);
    entry.owner.known = OWNER_AT_WORK;
    entry.gap = UNREMEMBERED;
    Some(entry)
}

/// The socket is gone.
#[inline(always)]
pub(crate) fn forget(sk: u64) {
    // Most often there is one; it does not matter if there is none.
    let _ = SOCKETS.remove(sk);
}

/// The current task now owns the socket; whether that is of interest.
#[inline(always)]
pub(crate) fn adopt_by_current(entry: &mut Remembered) -> bool {
    // SAFETY: the map's memory.
    unsafe { process::write_caller(&raw mut entry.owner) };
    let wanted = filter::wants_owner(&entry.owner, task::current());
    entry.wanted = u8::from(wanted);
    fill_gap(entry);
    wanted
}

/// All is known again of a socket whose listener had found no room.
#[inline(always)]
fn fill_gap(entry: &mut Remembered) {
    if entry.began_ns != 0 {
        entry.gap = 0;
    }
}

/// `task` now owns the socket; whether that is of interest.
#[inline(always)]
pub(crate) fn adopt(entry: &mut Remembered, task: Object<Probed>, owner: &Owner) -> bool {
    let wanted = filter::wants_owner(owner, task);
    entry.wanted = u8::from(wanted);
    fill_gap(entry);
    // SAFETY: the map's memory.
    unsafe { word_copy::copy(&raw mut entry.owner, owner) };
    wanted
}

/// The listener that a connection came to, if there is one with an owner. Where several processes listen at
/// the same place it may be any one's.
#[inline(never)]
pub(crate) fn find_listener(netns: u32, ends: &Identity) -> Option<&'static Listener> {
    at_or_above(netns, ends, find).filter(|listener| listener.owner.known != OWNER_UNKNOWN)
}

/// What `find` knows of this address, or else of all of this host.
#[inline(always)]
fn at_or_above<T>(
    netns: u32,
    ends: &Identity,
    find: impl Fn(&ListenerKey) -> Option<&'static T>,
) -> Option<&'static T> {
    let mut place = place(netns, ends);
    let is_v4 = ends.family == AF_INET || crate::sock::is_v4_mapped(ends.local);
    let listener = find(&place).or_else(|| {
        place.address = if is_v4 { v4_mapped([0; 2]) } else { [0; 2] };
        find(&place)
    });
    listener.or_else(|| {
        // SAFETY: a variable of our own.
        unsafe { word_copy::clear(&raw mut place.address) };
        find(&place)
    })
}

/// A socket listens from now on.
#[inline(never)]
pub(crate) fn listen(netns: u32, ends: &Identity, owner: &Owner, wanted: bool) {
    let place = place(netns, ends);
    // The kernel chooses its port only now, and the end is not heard of under this one.
    if place.port == 0 {
        return;
    }
    match LISTENERS.get_ptr_mut(place) {
        // SAFETY: the map's memory; listeners of one place come and go in user context, and a race
        // between two of them can only cost the name.
        Some(there) => unsafe {
            (*there).count += 1;
            if (*there).owner.pid != owner.pid {
                (*there).owner = process::NOBODY;
                (*there).wanted |= u8::from(wanted);
            }
        },
        None => {
            let listener = Listener { owner: *owner, count: 1, wanted: u8::from(wanted), reserved: [0; 3] };
            if LISTENERS.insert(place, listener, 0).is_err() {
                shortage::count(room::LISTENERS, CONTEXT_PROCESS);
            }
        }
    }
}

/// The listener for the local address of a connection, if it was closed.
#[inline(never)]
pub(crate) fn listened(netns: u32, ends: &Identity) -> Option<&'static Closed> {
    // SAFETY: as in `find`.
    at_or_above(netns, ends, |place| unsafe { CLOSED.get(place) })
}

/// A socket, of which that is known, does not listen any more.
#[inline(never)]
pub(crate) fn unlisten(netns: u32, ends: &Identity, socket: &Remembered, now: u64, signal: u8) {
    let place = place(netns, ends);
    let mut closed =
        Closed { owner: socket.owner, closed_ns: now, signal, wanted: socket.wanted, shared: 0, reserved: [0; 5] };
    // None if it had found no room.
    let there = LISTENERS.get_ptr_mut(place);
    if let Some(there) = there {
        // SAFETY: as in `listen`.
        unsafe {
            (*there).count -= 1;
            closed.wanted |= (*there).wanted;
            // Not by the ids: a listener may be inherited, and closed by another process than the one that listened.
            closed.shared = u8::from((*there).owner.known == OWNER_UNKNOWN);
        }
    }
    #[expect(clippy::needless_borrows_for_generic_args, reason = "by value it would be on the stack twice")]
    let _ = CLOSED.insert(place, &closed, 0);
    // SAFETY: as in `listen`.
    if there.is_some_and(|there| unsafe { (*there).count == 0 }) {
        let _ = LISTENERS.remove(place);
    }
}

#[inline(always)]
fn place(netns: u32, ends: &Identity) -> ListenerKey {
    let address = if ends.family == AF_INET { v4_mapped(ends.local) } else { ends.local };
    ListenerKey { address, netns, port: ends.local_port, reserved: 0 }
}

#[inline(always)]
fn find(place: &ListenerKey) -> Option<&'static Listener> {
    // SAFETY: entries stay valid for the program's run; one that changes meanwhile can only cost the name.
    unsafe { LISTENERS.get(place) }
}
