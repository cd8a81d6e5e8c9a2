//! What is asked about a RST, each question in a function that the verifier verifies by itself, once (global functions,
//! 5.6 and later), and not on each way on which it comes to it: they get numbers only, and find the rest in a slot of
//! this CPU's that no other program uses (see [`twin::slot`]).

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tracer_ebpf::record::{Owner, Past, Segment};

use crate::{
    memory,
    past::{self, Found},
    sock::Identity,
    twin, word_copy,
};

/// What a RST is about. Not on the stack, which is not large enough for that and all that follows.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Subject {
    pub(crate) ends: Identity,
    /// The segment that it answers, or itself.
    pub(crate) segment: Segment,
    pub(crate) netns: u32,
}

/// The RST that is told.
#[map]
static SUBJECTS: PerCpuArray<Subject> = PerCpuArray::with_max_entries(twin::SLOTS, 0);

/// Its owner. All of them at one place, or the verifier would walk through what follows once for each place where an
/// owner can be.
#[map]
static OWNERS: PerCpuArray<Owner> = PerCpuArray::with_max_entries(twin::SLOTS, 0);

/// What is known of its ends from before.
#[map]
static PASTS: PerCpuArray<Past> = PerCpuArray::with_max_entries(twin::SLOTS, 0);

/// [`fill_past`]: look for the listener that was closed.
pub(crate) const CLOSED_LISTENER: u32 = 1;
/// [`fill_past`]: look for the listener that a SYN was for.
pub(crate) const REFUSED: u32 = 2;

/// There is one; see [`owner_by_listener`].
pub(crate) const IS_THERE: u32 = 1;
/// A filter by owner lets it pass.
pub(crate) const IS_WANTED: u32 = 2;

/// Says what is asked about, and returns the place of that and the place for its owner.
#[inline(always)]
pub(crate) fn about(slot: u32, subject: &Subject) -> Option<(&'static Subject, *mut Owner)> {
    let place = SUBJECTS.get_ptr_mut(slot)?;
    // SAFETY: the slot is this CPU's and this program's own. Volatile: to be there for the functions below.
    unsafe { word_copy::copy(place, subject) };
    // SAFETY: as above.
    Some((unsafe { &*place }, OWNERS.get_ptr_mut(slot)?))
}

/// What [`fill_past`] has found.
#[inline(always)]
pub(crate) fn past_of(slot: u32) -> Option<&'static Past> {
    // SAFETY: as above.
    PASTS.get_ptr_mut(slot).map(|past| unsafe { &*past })
}

#[inline(always)]
fn subject(slot: u32) -> Option<&'static Subject> {
    // SAFETY: as above.
    SUBJECTS.get_ptr_mut(slot).map(|subject| unsafe { &*subject })
}

/// The two ends as the other one has them.
#[inline(always)]
fn swapped(ends: &Identity) -> Identity {
    Identity {
        family: ends.family,
        local: ends.remote,
        remote: ends.local,
        local_port: ends.remote_port,
        remote_port: ends.local_port,
    }
}

/// Whether this namespace has a listener that a SYN which was refused would have come to, were it sent to here: 1 or 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn is_listener_there(slot: u32) -> u32 {
    let Some(subject) = subject(slot) else { return 0 };
    u32::from(memory::find_listener(subject.netns, &swapped(&subject.ends)).is_some())
}

/// Takes who listened at these ends last for the owner: some of the bits [`IS_THERE`] and [`IS_WANTED`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn owner_by_listener(slot: u32) -> u32 {
    let (Some(subject), Some(owner)) = (subject(slot), OWNERS.get_ptr_mut(slot)) else { return 0 };
    let Some(known) = memory::known_by_listener(subject.netns, &subject.ends) else { return 0 };
    // SAFETY: as above.
    unsafe { word_copy::copy(owner, known.owner) };
    if known.wanted { IS_THERE | IS_WANTED } else { IS_THERE }
}

/// Fills in what is known from before, see [`past_of`]: where that is kept, and some of the bits [`CLOSED_LISTENER`] and
/// [`REFUSED`]. It returns 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn fill_past(slot: u32, gone: u32, other: u32, what: u32) -> u32 {
    let (Some(subject), Some(past)) = (subject(slot), PASTS.get_ptr_mut(slot)) else { return 0 };
    let (netns, ends) = (subject.netns, &subject.ends);
    // SAFETY: as above.
    unsafe {
        past::write(past, Found { gone, other });
        if what & CLOSED_LISTENER != 0 {
            past::write_closed_listener(past, netns, ends);
        }
        if what & REFUSED != 0
            && let Some(listener) = memory::find_listener(netns, &swapped(ends))
        {
            past::write_listener(past, listener, netns, ends);
        }
    }
    0
}
