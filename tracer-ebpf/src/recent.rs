//! What came last, by key: a table of sets, each of which keeps its last few entries. An LRU map's update takes several
//! times as long, because it keeps all of its entries in order.
//!
//! An entry is written by one CPU at a time but for a rare chance: two that choose the same one at the same moment. It
//! begins and ends with a mark of its writer's, which differ then, and nobody reads it.

use aya_ebpf::{helpers::bpf_get_smp_processor_id, maps::Array};

use crate::words;

/// Entries of a set. A key's entry goes when as many others have come to its set.
const WAYS: usize = 4;

/// One of the sets.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Set<K, V> {
    /// When each entry was written, in nanoseconds; 0 if it never was.
    ages: [u64; WAYS],
    entries: [Entry<K, V>; WAYS],
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Entry<K, V> {
    begin: u64,
    key: K,
    value: V,
    end: u64,
}

/// What an entry is found by: whole words.
pub(crate) trait Key: Copy {
    /// A number in which keys differ as likely as not, bit by bit.
    fn hash(&self) -> u64;
    fn is(&self, other: &Self) -> bool;
}

/// Mixes a word into a hash: multiplied, so that its high bits depend on all of it.
#[inline(always)]
pub(crate) const fn mix(hash: u64, word: u64) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    (hash ^ word).wrapping_mul(FACTOR).rotate_left(29)
}

/// The set of a key. `sets`: how many there are, a power of two.
#[inline(always)]
fn set_of<K: Key, V>(map: &'static Array<Set<K, V>>, sets: u32, key: &K) -> Option<*mut Set<K, V>> {
    map.get_ptr_mut((key.hash() >> 32) as u32 & (sets - 1))
}

/// Writes an entry over the oldest of its set. `now` is not 0.
#[inline(always)]
pub(crate) fn put<K: Key, V: Copy>(map: &'static Array<Set<K, V>>, sets: u32, now: u64, key: &K, value: &V) {
    let Some(set) = set_of(map, sets, key) else { return };
    // SAFETY: the map's memory; see above for other writers.
    let set = unsafe { &mut *set };
    let (mut way, mut oldest) = (0, set.ages[0]);
    let mut other = 1;
    while other < WAYS {
        if set.ages[other] < oldest {
            (way, oldest) = (other, set.ages[other]);
        }
        other += 1;
    }
    // Masked: the verifier must see that it is one of them.
    let way = way & (WAYS - 1);
    set.ages[way] = now;
    let entry = &raw mut set.entries[way];
    // SAFETY: a helper without preconditions.
    let mark = now.wrapping_mul(2).wrapping_add(1) ^ u64::from(unsafe { bpf_get_smp_processor_id() }) << 48;
    // SAFETY: the map's memory. Volatile: in this order.
    unsafe {
        (&raw mut (*entry).begin).write_volatile(mark);
        words::copy(&raw mut (*entry).key, key);
        words::copy(&raw mut (*entry).value, value);
        (&raw mut (*entry).end).write_volatile(mark);
    }
}

/// Shows the entries of a key: seldom more than one, and the last one last.
///
/// They are not returned: to the verifier each would be another way to go on with.
#[inline(always)]
pub(crate) fn visit<K: Key, V: Copy>(
    map: &'static Array<Set<K, V>>,
    sets: u32,
    key: &K,
    mut show: impl FnMut(&'static V),
) {
    let Some(set) = set_of(map, sets, key) else { return };
    // SAFETY: the map's memory; an entry that changes meanwhile can only cost details, and shows in its marks.
    let set: &'static Set<K, V> = unsafe { &*set };
    let mut latest = 0;
    let mut way = 0;
    while way < WAYS {
        let entry = &set.entries[way];
        if set.ages[way] > latest && entry.begin == entry.end && entry.key.is(key) {
            latest = set.ages[way];
            show(&entry.value);
        }
        way += 1;
    }
}
