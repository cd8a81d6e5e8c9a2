//! What came last, by key: a table of sets, each of which keeps its last few entries. An LRU map's update takes several
//! times as long, because it keeps all of its entries in order.
//!
//! An entry is written by one CPU at a time but for a rare chance: two that choose the same one at the same moment. It
//! begins and ends with a mark of its writer's, which differ then, and nobody reads it.

use aya_ebpf::{helpers::bpf_get_smp_processor_id, maps::Array};

use crate::words;

/// Entries of a set. A key's entry goes when as many others have come to its set.
const WAYS: u32 = 4;

/// A map of so many sets has this many entries.
pub(crate) const fn entries(sets: u32) -> u32 {
    sets * WAYS
}

/// When each of a set's entries was written, in nanoseconds; 0 if it never was.
pub(crate) type Ages = [u64; WAYS as usize];

/// An entry.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Entry<K, V> {
    begin: u64,
    key: K,
    value: V,
    end: u64,
}

impl<K, V> Entry<K, V> {
    /// One writer has written all of it.
    #[inline(always)]
    fn is_whole(&self) -> bool {
        self.begin == self.end
    }
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

#[inline(always)]
fn set_of<K: Key>(key: &K, sets: u32) -> u32 {
    const { assert!(WAYS.is_power_of_two()) };
    (key.hash() >> 32) as u32 & (sets - 1)
}

/// Writes an entry over the oldest of its set. `now` is not 0, `sets` a power of two.
#[inline(always)]
pub(crate) fn put<K: Key, V: Copy>(
    ages: &Array<Ages>,
    entries: &Array<Entry<K, V>>,
    sets: u32,
    now: u64,
    key: &K,
    value: &V,
) {
    let set = set_of(key, sets);
    let Some(ages) = ages.get_ptr_mut(set) else { return };
    // SAFETY: the map's memory; see above for other writers.
    let ages = unsafe { &mut *ages };
    let (mut way, mut oldest) = (0, ages[0]);
    let mut other = 1;
    while other < WAYS {
        if ages[other as usize] < oldest {
            (way, oldest) = (other, ages[other as usize]);
        }
        other += 1;
    }
    // Masked: the verifier must see that it is one of them.
    ages[(way & (WAYS - 1)) as usize] = now;
    let Some(entry) = entries.get_ptr_mut(set * WAYS + way) else { return };
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

/// The last entry of a key.
#[inline(always)]
pub(crate) fn get<K: Key, V: Copy>(
    ages: &Array<Ages>,
    entries: &'static Array<Entry<K, V>>,
    sets: u32,
    key: &K,
) -> Option<&'static V> {
    let set = set_of(key, sets);
    // SAFETY: numbers.
    let ages = unsafe { &*ages.get_ptr(set)? };
    let is_it = |entry: &&Entry<K, V>| entry.is_whole() && entry.key.is(key);
    // A number, of which no later branch depends: so all ways through the loop are the same to the verifier.
    let (mut latest, mut found) = (0, 0);
    let mut way = 0;
    while way < WAYS {
        let age = ages[way as usize];
        if age > latest && at(entries, set * WAYS + way).filter(is_it).is_some() {
            (latest, found) = (age, way);
        }
        way += 1;
    }
    // Looked at once more, rather than asked whether one was found.
    at(entries, set * WAYS + found).filter(is_it).map(|entry| &entry.value)
}

#[inline(always)]
fn at<K, V>(entries: &'static Array<Entry<K, V>>, index: u32) -> Option<&'static Entry<K, V>> {
    // SAFETY: the map's memory; one that changes meanwhile can only cost details, and shows in its marks.
    entries.get_ptr(index).map(|entry| unsafe { &*entry })
}
