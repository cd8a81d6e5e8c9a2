//! Tells the programs what to report.

use anyhow::{Context as _, anyhow};
use aya::{
    Ebpf, Pod,
    maps::{
        Array, HashMap as BpfHashMap, MapData,
        lpm_trie::{self, LpmTrie},
    },
};
use tracer_ebpf::{
    criteria::{PID_RUNS, PortSet},
    maps as map,
};

use crate::filter::{Criteria, Key};

/// Fills the maps that the filters look things up in.
pub(super) fn fill(ebpf: &mut Ebpf, criteria: &Criteria) -> anyhow::Result<()> {
    for (set, keys) in &criteria.sets {
        for key in keys {
            match *key {
                Key::Number(number) => add(ebpf, set, number)?,
                Key::Id(id) => add(ebpf, set, id)?,
                Key::Name(name) => add(ebpf, set, name)?,
            }
        }
    }
    let map = ebpf.map_mut(map::PORTS).ok_or_else(|| anyhow!("the map of ports is missing"))?;
    let mut sets: Array<&mut MapData, PortSet> = Array::try_from(map)?;
    for (index, ports) in &criteria.ports {
        sets.set(*index, **ports, 0)?;
    }
    let map = ebpf.map_mut(map::NETWORKS).ok_or_else(|| anyhow!("the map of networks is missing"))?;
    let mut networks: LpmTrie<&mut MapData, [u8; 16], u8> = LpmTrie::try_from(map)?;
    for &(prefix, address) in &criteria.networks {
        networks.insert(&lpm_trie::Key::new(prefix, address), 1, 0).context("too many networks to filter by")?;
    }
    Ok(())
}

/// Of processes: they run. Of all else only the key counts.
const IN_SET: u8 = PID_RUNS;

fn add<K: Pod>(ebpf: &mut Ebpf, name: &str, key: K) -> anyhow::Result<()> {
    let map = ebpf.map_mut(name).ok_or_else(|| anyhow!("the map {name} is missing"))?;
    let mut set: BpfHashMap<&mut MapData, K, u8> = BpfHashMap::try_from(map)?;
    set.insert(key, IN_SET, 0).with_context(|| format!("too many {} to filter by", name.to_lowercase()))
}
