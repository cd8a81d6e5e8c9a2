//! Who listens, as the programs remember it: in all network namespaces.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use aya::maps::{HashMap as BpfHashMap, MapData};
use tracer_ebpf::listener;
use zerocopy::IntoBytes as _;

use crate::{enrich, event::Listener};

/// How old what is known may get while events come in a flood.
const OLDEST: Duration = Duration::from_millis(50);

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Place(listener::Place);

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Value(listener::Listener);

// SAFETY: no padding, and any bytes are valid (asserted by `FromBytes` where they are defined).
unsafe impl aya::Pod for Place {}
// SAFETY: likewise.
unsafe impl aya::Pod for Value {}

/// The map, and what it held when it was last read.
pub struct Listeners {
    map: BpfHashMap<MapData, Place, Value>,
    known: Vec<(u16, Listener)>,
    read: Option<Instant>,
}

impl Listeners {
    pub(super) fn new(map: aya::maps::Map) -> anyhow::Result<Self> {
        Ok(Self { map: BpfHashMap::try_from(map)?, known: Vec::new(), read: None })
    }

    /// Time has passed: events to come may be newer than what is known.
    pub fn age(&mut self) {
        self.read = None;
    }

    /// Those that listen on this port, wherever it is.
    pub fn of_port(&mut self, port: u16) -> Vec<Listener> {
        if self.read.is_none_or(|read| read.elapsed() >= OLDEST) {
            // One that comes or goes meanwhile may be missed.
            self.known = self.map.iter().flatten().map(|(place, value)| known(&place.0, &value.0)).collect();
            self.read = Some(Instant::now());
        }
        self.known.iter().filter(|(known, _)| *known == port).map(|(_, listener)| listener.clone()).collect()
    }
}

fn known(place: &listener::Place, value: &listener::Listener) -> (u16, Listener) {
    let mut address = [0; 16];
    address.copy_from_slice(place.address.as_bytes());
    let owner = &value.owner;
    let listener = Listener {
        netns: place.netns,
        address: IpAddr::from(Ipv6Addr::from(address)).to_canonical(),
        pid: owner.pid,
        comm: enrich::comm(&owner.comm),
    };
    (place.port, listener)
}
