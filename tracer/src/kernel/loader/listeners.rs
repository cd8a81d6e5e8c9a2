//! Who listens, as the programs remember it: in all network namespaces.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use aya::maps::{HashMap as BpfHashMap, MapData};
use tracer_ebpf::listener;
use zerocopy::IntoBytes as _;

use crate::{
    event::{Listener, Pid},
    host::{addresses::Addresses, clock::mono_now},
};

#[derive(Clone, Copy)]
#[repr(transparent)]
struct ListenerKey(listener::ListenerKey);

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Value(listener::Listener);

// SAFETY: no padding, and any bytes are valid (asserted by `FromBytes` where they are defined).
unsafe impl aya::Pod for ListenerKey {}
// SAFETY: likewise.
unsafe impl aya::Pod for Value {}

/// The map, and what it held when it was last read.
pub struct Listeners {
    map: BpfHashMap<MapData, ListenerKey, Value>,
    known: Vec<(u16, Listener)>,
    /// `CLOCK_MONOTONIC` in nanoseconds, 0 if it was not read yet.
    read_ns: u64,
    addresses: Addresses,
}

impl Listeners {
    pub(super) fn new(map: aya::maps::Map) -> anyhow::Result<Self> {
        Ok(Self { map: BpfHashMap::try_from(map)?, known: Vec::new(), read_ns: 0, addresses: Addresses::default() })
    }

    /// Sockets that listen on this port in any namespace, at the time of an event or soon after.
    pub fn of_port(&mut self, port: u16, mono_ns: u64) -> Vec<Listener> {
        // One reading serves all events before it: in a flood, many.
        if self.read_ns < mono_ns {
            self.read_ns = mono_now();
            // One that comes or goes meanwhile may be missed.
            self.known = self.map.iter().flatten().map(|(place, value)| known(&place.0, &value.0)).collect();
        }
        self.known.iter().filter(|(known, _)| *known == port).map(|(_, listener)| listener.clone()).collect()
    }

    /// Sockets that listen where a SYN was sent to, as far as the namespace of each tells; see [`Self::of_port`].
    pub fn at(&mut self, end: SocketAddr, mono_ns: u64) -> Vec<Listener> {
        let mut all = self.of_port(end.port(), mono_ns);
        let now = mono_now();
        all.retain(|listener| {
            let is_any = listener.address.is_unspecified()
                // One of IPv6 may take IPv4, too.
                && (listener.address.is_ipv6() || end.is_ipv4());
            listener.address == end.ip() || is_any && self.addresses.has(listener.netns, listener.pid, end.ip(), now)
        });
        all
    }
}

fn known(place: &listener::ListenerKey, value: &listener::Listener) -> (u16, Listener) {
    let mut address = [0; 16];
    address.copy_from_slice(place.address.as_bytes());
    let owner = &value.owner;
    let listener = Listener {
        netns: place.netns,
        address: IpAddr::from(Ipv6Addr::from(address)).to_canonical(),
        pid: Pid::of_record(owner.pid),
        comm: crate::event::comm(&owner.comm),
    };
    (place.port, listener)
}
