//! What stands for addresses: the network stays, the host becomes another of that network.
//!
//! Nothing is remembered for that, so a flood of forged addresses takes no memory: all follows from the key.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroUsize,
};

use lru::LruCache;

use super::Key;

/// Answers that are kept, since the same few addresses come again and again.
const KEPT: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// The first 16 bits of addresses that hold one of IPv4 in the next 32 (6to4, RFC 3056).
const SIX_TO_FOUR: u16 = 0x2002;

pub(super) struct Addresses {
    key: Key,
    known: LruCache<IpAddr, IpAddr>,
}

impl Addresses {
    pub(super) fn new(key: Key) -> Self {
        Self { key, known: LruCache::new(KEPT) }
    }

    /// What stands for an address. One of IPv4 that is mapped into IPv6 is that of IPv4.
    pub(super) fn mask(&mut self, address: IpAddr) -> IpAddr {
        let address = address.to_canonical();
        // Every host has these, and the diagnosis asks for them.
        if address.is_loopback() || address.is_unspecified() {
            return address;
        }
        let Self { key, known } = self;
        *known.get_or_insert(address, || match address {
            IpAddr::V4(address) => v4(key, address).into(),
            IpAddr::V6(address) => v6(key, address).into(),
        })
    }
}

/// The hosts of each /24 stand in a circle, in an order that the key makes, and each is masked by the next one: so two
/// stay two, none stands for itself, and who knows some knows nothing of the others.
fn v4(key: &Key, address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, host] = address.octets();
    let place = |host: u8| (key.mix(&[a, b, c, host]), host);
    let own = place(host);
    let next = (0..=u8::MAX).map(place).filter(|other| *other > own).min();
    let first = || (0..=u8::MAX).map(place).min();
    Ipv4Addr::new(a, b, c, next.or_else(first).map_or(host, |(_, host)| host))
}

/// The hosts of each /48 have 64 bits that the key makes, in place of the last 80: among a million hosts of one network
/// two would become one with a chance of one in 30 million.
fn v6(key: &Key, address: Ipv6Addr) -> Ipv6Addr {
    let [first, mut second, mut third, ..] = address.segments();
    if first == SIX_TO_FOUR {
        let within = Ipv4Addr::from_bits(u32::from(second) << 16 | u32::from(third));
        let masked = v4(key, within).to_bits();
        (second, third) = ((masked >> 16) as u16, masked as u16);
    }
    let network = [first, second, third, 0].into_iter().fold(0, |bits, part| bits << 16 | u128::from(part));
    Ipv6Addr::from_bits(network << 64 | u128::from(key.mix(&address.octets())))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn addresses() -> Addresses {
        Addresses::new(Key::of(*b"sixteen bytes it"))
    }

    fn masked(address: &str) -> IpAddr {
        addresses().mask(address.parse().unwrap())
    }

    #[test]
    fn each_host_of_a_network_becomes_another_one_of_it() {
        for network in [[10, 77, 88], [192, 168, 0], [203, 0, 113]] {
            let [a, b, c] = network;
            let mut all = HashSet::new();
            for host in 0..=u8::MAX {
                let address = Ipv4Addr::new(a, b, c, host);
                let masked = addresses().mask(address.into());
                let IpAddr::V4(masked) = masked else { panic!("{address} became {masked}") };
                assert_eq!(masked.octets()[..3], network);
                assert_ne!(masked, address);
                all.insert(masked);
            }
            assert_eq!(all.len(), 256, "one to one");
        }
    }

    #[test]
    fn hosts_of_ipv6_keep_48_bits() {
        let mut all = HashSet::new();
        for host in 1..=1000u16 {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0x7788, host % 7, 0, 0, 0, host);
            let IpAddr::V6(masked) = addresses().mask(address.into()) else { panic!("{address}") };
            assert_eq!(masked.segments()[..3], address.segments()[..3]);
            assert_ne!(masked.segments()[4..], address.segments()[4..]);
            all.insert(masked);
        }
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn what_every_host_has_stays() {
        for address in ["127.0.0.1", "127.99.88.77", "0.0.0.0", "::1", "::"] {
            assert_eq!(masked(address), address.parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn an_address_of_ipv4_is_masked_alike_wherever_it_is() {
        let IpAddr::V4(plain) = masked("10.77.88.99") else { panic!("another family") };
        assert_eq!(masked("::ffff:10.77.88.99"), IpAddr::from(plain));
        let IpAddr::V6(within) = masked("2002:a4d:5863:5::1") else { panic!("another family") };
        let [first, second, third, ..] = within.segments();
        assert_eq!((first, u32::from(second) << 16 | u32::from(third)), (0x2002, plain.to_bits()), "{within}");
    }

    #[test]
    fn another_key_makes_other_masks() {
        let mask = |key: u8| (0..=u8::MAX).map(|host| v4(&Key::of([key; 16]), Ipv4Addr::new(10, 0, 0, host))).collect();
        let [one, other]: [Vec<_>; 2] = [mask(1), mask(2)];
        assert_ne!(one, other);
        assert_eq!(one, mask(1));
    }
}
