//! What found no room, and which events that cost: a full map is no reason to be silent.
//!
//! Counts have a slot for what runs in an interrupt behind each of the rest's, as deliveries do.

use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray},
};
use tracer_ebpf::{record::KINDS, room};

use crate::context;

/// How often a map was full, by its slot of [`room`].
#[map]
static NO_ROOM: PerCpuArray<u64> = PerCpuArray::with_max_entries(2 * room::SLOTS, 0);

/// Not 0: on some CPU it was.
#[map]
static WAS_FULL: Array<u32> = Array::with_max_entries(room::SLOTS, 0);

/// Events by record kind that a filter may want: what it asks for had found no room.
#[map]
static UNDECIDED: PerCpuArray<u64> = PerCpuArray::with_max_entries(2 * KINDS as u32, 0);

/// Something found no room. `context`: one of the `CONTEXT_` constants.
#[inline(always)]
pub(crate) fn count(slot: u32, context: u8) {
    if let Some(was_full) = WAS_FULL.get_ptr_mut(slot) {
        // SAFETY: the map's memory; every CPU writes the same.
        unsafe { was_full.write_volatile(1) };
    }
    add(&NO_ROOM, slot + context::slot(context) * room::SLOTS);
}

/// Something has found no room in that map so far.
#[inline(always)]
pub(crate) fn is_of(slot: u32) -> bool {
    WAS_FULL.get(slot).is_some_and(|was_full| *was_full != 0)
}

/// An event is not reported, because it cannot be told whether the filters want it.
#[inline(always)]
pub(crate) fn undecided(kind: u16, context: u8) {
    add(&UNDECIDED, u32::from(kind) + context::slot(context) * KINDS as u32);
}

#[inline(always)]
fn add(counts: &'static PerCpuArray<u64>, slot: u32) {
    if let Some(count) = counts.get_ptr_mut(slot) {
        // SAFETY: the slot is this CPU's and this kind of context's own.
        unsafe { *count += 1 };
    }
}
