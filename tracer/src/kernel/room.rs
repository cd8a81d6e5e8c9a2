//! Capacity of the programs' tables: by the machine's memory, or as requested.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracer_ebpf::{listener, room::REMEMBERED};

/// Capacity of the programs' tables in kernel memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Room {
    /// Sockets tracked at a time.
    pub sockets: u32,
    /// Listeners tracked at a time.
    pub listeners: u32,
    /// True if the kernel allocates entries on demand (since 6.1); false if it allocates all of them at the start.
    pub on_demand: bool,
    /// Bytes allocated at the start.
    pub bytes: u64,
    /// Bytes allocated at most.
    pub most_bytes: u64,
}

impl Room {
    /// For so many `sockets`, or as a machine with so many bytes of memory has.
    pub(crate) fn new(sockets: Option<u32>, memory: u64, on_demand: bool) -> Self {
        let sockets = sockets.unwrap_or_else(|| default_sockets(memory, on_demand));
        let listeners = (sockets / 8).max(16);
        let tables = table(sockets) + table(listeners);
        let entries = u64::from(sockets) * entry(8 + REMEMBERED, on_demand)
            + u64::from(listeners)
                * entry(size_of::<listener::ListenerKey>() + size_of::<listener::Listener>(), on_demand);
        let most_bytes = tables + entries;
        Self { sockets, listeners, on_demand, bytes: if on_demand { tables } else { most_bytes }, most_bytes }
    }
}

/// A socket takes some 4 KiB of the kernel's memory itself, so this is for half as many as there may ever be; where all
/// memory is taken at the start, for fewer.
fn default_sockets(memory: u64, on_demand: bool) -> u32 {
    let (share, most) = if on_demand { (8 << 10, 1 << 21) } else { (64 << 10, 1 << 20) };
    1 << (memory / share).clamp(1 << 16, most).ilog2()
}

/// Bytes of a hash table for so many entries: `struct bucket` of kernel/bpf/hashtab.c.
fn table(entries: u32) -> u64 {
    16 * u64::from(entries).next_power_of_two()
}

/// Bytes of an entry: `struct htab_elem`, key and value. On demand it comes with a link from a slab of that size or the
/// next.
fn entry(bytes: usize, on_demand: bool) -> u64 {
    const SLABS: [u64; 4] = [64, 96, 128, 192];
    let bytes = 48 + bytes as u64;
    if !on_demand {
        return bytes;
    }
    SLABS.into_iter().find(|slab| *slab >= bytes + 8).unwrap_or((bytes + 8).next_power_of_two())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_grows_with_the_memory_within_bounds() {
        const GIB: u64 = 1 << 30;
        let of = |on_demand| [0, GIB / 2, 4 * GIB - 1, 8 * GIB, 1024 * GIB].map(|it| default_sockets(it, on_demand));
        assert_eq!(of(true), [1 << 16, 1 << 16, 1 << 18, 1 << 20, 1 << 21]);
        assert_eq!(of(false), [1 << 16, 1 << 16, 1 << 16, 1 << 17, 1 << 20]);
    }

    #[test]
    fn what_it_takes_is_a_small_part_of_the_memory() {
        for (memory, on_demand) in [(8 << 30, true), (8 << 30, false), (1 << 40, true)] {
            let room = Room::new(None, memory, on_demand);
            assert!(room.bytes <= memory / 200 && room.most_bytes <= memory / 32, "{room:?}");
        }
        let asked = Room::new(Some(100), 0, true);
        assert_eq!((asked.sockets, asked.listeners), (100, 16));
    }
}
