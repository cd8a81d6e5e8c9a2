//! The maps that hold something of each socket, listener or process: their size, and where their memory comes from.

use std::fs;

use anyhow::{Context as _, anyhow};
use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap as BpfHashMap, MapData},
    util::nr_cpus,
};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use tracer_ebpf::{
    criteria::sets,
    maps as map,
    room::{self, REMEMBERED},
};

use crate::{
    filter::Criteria,
    kernel::{btf::KernelBtf, room::Room},
};

/// Maps whose entries come and go.
const DYNAMIC: [&str; 3] = [map::SOCKETS, map::LISTENERS, sets::PIDS];

/// Namespaces that a demo may add later, see [`super::Watch`].
const NAMESPACES: u32 = 64;

/// The names of the counts of what found no room, by their slots.
pub(super) const SLOTS: [(&str, u32); room::SLOTS as usize] =
    [("sockets", room::SOCKETS), ("listeners", room::LISTENERS), ("processes", room::PROCESSES)];

/// Whether the kernel gives programs memory at any time: from 6.1 on (`bpf_mem_alloc` of kernel/bpf/memalloc.c).
/// Before, it warns of maps that are not allocated as a whole.
pub(super) fn is_on_demand(kernel: &KernelBtf) -> bool {
    kernel.function("bpf_mem_alloc_init").is_some()
}

/// The object with maps that take their memory when it is needed. aya makes maps of any size, but only with the flags
/// that they are compiled with.
pub(super) fn on_demand(object: &[u8]) -> anyhow::Result<Vec<u8>> {
    /// `map_flags` in a map's definition: the fifth number (`bpf_map_def` of aya).
    const FLAGS_AT: usize = 16;
    const BPF_F_NO_PREALLOC: u32 = 1;

    let mut changed = object.to_vec();
    let file = object::File::parse(object)?;
    for name in DYNAMIC {
        let definition = file.symbol_by_name(name).and_then(|symbol| {
            let section = file.section_by_index(symbol.section_index()?).ok()?;
            let start = section.file_range()?.0 + symbol.address() - section.address();
            usize::try_from(start).ok()
        });
        let flags = definition.map(|start| start + FLAGS_AT).and_then(|at| changed.get_mut(at..at + 4));
        flags.ok_or_else(|| anyhow!("the map {name} is missing"))?.copy_from_slice(&BPF_F_NO_PREALLOC.to_ne_bytes());
    }
    Ok(changed)
}

/// Tells how large the maps are to be.
pub(super) fn size(loader: &mut EbpfLoader<'_>, room: &Room, criteria: &Criteria) -> anyhow::Result<()> {
    let needed = |count: usize| u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    for &set in sets::ALL {
        let least = match set {
            sets::PIDS if criteria.follows_children() => most_processes(room.on_demand),
            sets::NETNS => NAMESPACES,
            _ => 0,
        };
        loader.map_max_entries(set, needed(criteria.sets.get(set).map_or(0, Vec::len)).max(least));
    }
    loader
        .map_max_entries(map::SOCKETS, room.sockets + stand_ins()?)
        .map_max_entries(map::LISTENERS, room.listeners)
        .map_max_entries(map::NETWORKS, needed(criteria.networks.len()));
    Ok(())
}

/// Two for each processor, see `stand_in` of the programs.
fn stand_ins() -> anyhow::Result<u32> {
    let processors = nr_cpus().map_err(|(file, error)| anyhow!(error).context(file))?;
    Ok(2 * u32::try_from(processors)?)
}

/// Puts the stand-ins into the map of sockets, which must still be empty.
pub(super) fn put_stand_ins(ebpf: &mut Ebpf) -> anyhow::Result<()> {
    let map = ebpf.map_mut(map::SOCKETS).ok_or_else(|| anyhow!("the map of sockets is missing"))?;
    let mut sockets: BpfHashMap<&mut MapData, u64, [u8; REMEMBERED]> = BpfHashMap::try_from(map)?;
    for key in 1..=u64::from(stand_ins()?) {
        sockets.insert(key, [0; REMEMBERED], 0).context("cannot prepare the map of sockets")?;
    }
    Ok(())
}

/// As many processes as there can be. Where the memory is taken at the start, no more than some: what is beyond is
/// told.
fn most_processes(on_demand: bool) -> u32 {
    const SOME: u32 = 1 << 15;
    let limits = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"];
    let limit = limits.into_iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u32>().ok()).min();
    let most = limit.unwrap_or(SOME);
    if on_demand { most } else { most.min(SOME) }
}
