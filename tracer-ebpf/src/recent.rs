//! What came last: a log that begins anew at its end, and ways to find something in it. An LRU map's update takes
//! several times as long, because it keeps all of its entries in order, and tables that are written here and there
//! cost more than all else that a program does: they are not in the cache. A log is, where it is written next.
//!
//! An entry has a position, which is never used again (it takes 2^32 to come back). Each CPU takes positions by blocks,
//! and what interrupts a program by blocks of its own. Two CPUs may take the same block, by a rare chance: an entry
//! begins and ends with a mark of its writer's, which differ then, and nobody reads it.

use aya_ebpf::{
    helpers::bpf_get_smp_processor_id,
    macros::map,
    maps::{Array, PerCpuArray},
};

use crate::context;

/// Entries of a log.
pub(crate) const ENTRIES: u32 = 1 << 16;
/// Positions of a block.
const BLOCK: u32 = 32;

/// Where the next entry goes: of what runs in a process, and of what interrupts.
#[map]
static NEXT: PerCpuArray<u32> = PerCpuArray::with_max_entries(2, 0);

/// Where the next block begins.
#[map]
static NEXT_BLOCK: Array<u32> = Array::with_max_entries(1, 0);

/// A position that nobody has had; 0 is none.
#[inline(always)]
pub(crate) fn position(context: u8) -> Option<u32> {
    let next = NEXT.get_ptr_mut(context::slot(context))?;
    // SAFETY: the slot is this CPU's and this kind of context's own.
    let next = unsafe { &mut *next };
    if next.is_multiple_of(BLOCK) {
        // SAFETY: see above for other CPUs.
        let block = unsafe { &mut *NEXT_BLOCK.get_ptr_mut(0)? };
        // The first position of a block is not used, so that it shows in the next one that a block is taken.
        *block = block.wrapping_add(BLOCK);
        *next = *block;
    }
    *next = next.wrapping_add(1);
    Some(*next)
}

/// The mark of an entry that this CPU writes at a position.
#[inline(always)]
pub(crate) fn mark(position: u32) -> u64 {
    // SAFETY: a helper without preconditions.
    u64::from(position) | u64::from(unsafe { bpf_get_smp_processor_id() } + 1) << 32
}

/// A log: its place in the map, by position.
pub(crate) trait Entry: Sized + 'static {
    const LOG: &'static Array<Self>;

    /// The marks that it begins and ends with.
    fn marks(&self) -> [u64; 2];
}

/// The place of a position, whatever is there.
#[inline(always)]
pub(crate) fn place<E: Entry>(position: u32) -> Option<*mut E> {
    E::LOG.get_ptr_mut(position & (ENTRIES - 1))
}

/// The entry at a position, if it is still there.
#[inline(always)]
pub(crate) fn at<E: Entry>(position: u32) -> Option<&'static E> {
    if position == 0 {
        return None;
    }
    // SAFETY: the map's memory; an entry that changes meanwhile can only cost details.
    let entry = unsafe { &*place::<E>(position)? };
    let [begin, end] = entry.marks();
    (begin == end && begin as u32 == position).then_some(entry)
}

/// Where the last entries with the same hash are, the last one first: each the lower half of its position, and above it
/// a tag of its key, so that nothing is read of those that only have the same hash.
pub(crate) type Set = [u32; WAYS];
const WAYS: usize = 8;
/// Sets of an index.
pub(crate) const SETS: u32 = 1 << SET_BITS;
const SET_BITS: u32 = 14;

const _: () = assert!(ENTRIES == 1 << TAG_SHIFT);
const TAG_SHIFT: u32 = 16;

/// Puts an entry's position before the last ones of its key's hash, unless it is still among them: later ones may have
/// taken its place.
#[inline(always)]
pub(crate) fn link(index: &'static Array<Set>, key: u64, position: u32) {
    let hash = hash(key);
    let Some(set) = index.get_ptr_mut(set_of(hash)) else { return };
    // SAFETY: the map's memory; what another CPU writes at the same time can only be missed.
    let set = unsafe { &mut *set };
    let [a, b, c, d, e, f, g, h] = *set;
    let first = tag_of(hash) << TAG_SHIFT | position & (ENTRIES - 1);
    // Without branches, of which the verifier would walk each.
    let is = |other: u32| u32::from(other == first);
    if is(a) | is(b) | is(c) | is(d) | is(e) | is(f) | is(g) | is(h) == 0 {
        *set = [first, a, b, c, d, e, f, g];
    }
}

/// Shows the last entries that may be of a key with their positions, the last one last.
#[inline(always)]
pub(crate) fn walk<E: Entry>(index: &'static Array<Set>, key: u64, mut show: impl FnMut(u32, &E)) {
    let hash = hash(key);
    let Some(set) = index.get_ptr_mut(set_of(hash)) else { return };
    let mut way = WAYS;
    while way > 0 {
        way -= 1;
        // SAFETY: the map's memory. Volatile: not all of it at first, to the stack.
        let there = unsafe { (&raw const (*set)[way]).read_volatile() };
        if there >> TAG_SHIFT == tag_of(hash)
            && let Some(entry) = place::<E>(there)
        {
            // SAFETY: the map's memory; an entry that changes meanwhile can only cost details.
            let entry = unsafe { &*entry };
            let [begin, end] = entry.marks();
            if begin == end {
                show(begin as u32, entry);
            }
        }
    }
}

/// The upper bits of a product depend on all of its factors.
#[inline(always)]
const fn hash(key: u64) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    key.wrapping_mul(FACTOR)
}

#[inline(always)]
const fn set_of(hash: u64) -> u32 {
    (hash >> (64 - SET_BITS)) as u32
}

/// Other bits than those of the set; not 0, which is what an index begins with.
#[inline(always)]
const fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32 & 0xffff | 1
}
