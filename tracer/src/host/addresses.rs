//! The addresses of a network namespace, as a process in it sees them: what it has is delivered there.

use std::{
    collections::HashSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroUsize,
    os::unix::fs::MetadataExt as _,
};

use lru::LruCache;

use crate::event::Pid;

/// How long what was read holds, in nanoseconds: a flood of refused connects asks for each.
const HOLDS_NS: u64 = 1_000_000_000;

/// Namespaces whose addresses are kept.
const KEPT: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// The addresses of the namespaces that were asked for last, and when they were read.
pub struct Addresses {
    known: LruCache<u32, (u64, HashSet<IpAddr>)>,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { known: LruCache::new(KEPT) }
    }
}

impl Addresses {
    /// Whether the namespace with this inode has the address, as far as its process `pid` tells.
    pub fn has(&mut self, netns: u32, pid: Pid, address: IpAddr, now_ns: u64) -> bool {
        if self.known.peek(&netns).is_some_and(|(read_ns, _)| now_ns.saturating_sub(*read_ns) >= HOLDS_NS) {
            self.known.pop(&netns);
        }
        let (_, addresses) = self.known.get_or_insert(netns, || {
            // One outside of this pid namespace has no directory in its /proc.
            (now_ns, pid.here().map(|pid| read(netns, pid)).unwrap_or_default())
        });
        // All of 127.0.0.0/8 is every namespace's.
        address.is_loopback() || addresses.contains(&address)
    }
}

fn read(netns: u32, pid: u32) -> HashSet<IpAddr> {
    let is_there = || fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|file| file.ino() == u64::from(netns));
    let text = |name| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    let (v4, v6) = (text("fib_trie"), text("if_inet6"));
    // Still: else it is another namespace's.
    if !is_there() {
        return HashSet::new();
    }
    of_text(&v4, &v6)
}

/// By `/proc/net/fib_trie` and `/proc/net/if_inet6`.
pub fn of_text(fib_trie: &str, if_inet6: &str) -> HashSet<IpAddr> {
    local_v4(fib_trie).map(IpAddr::from).chain(all_v6(if_inet6).map(IpAddr::from)).collect()
}

/// Addresses whose route is local: a line with the address, and below it one with the route's kind.
fn local_v4(fib_trie: &str) -> impl Iterator<Item = Ipv4Addr> {
    let mut last = None;
    fib_trie.lines().filter_map(move |line| {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse().ok();
            return None;
        }
        line.contains("/32 host LOCAL").then_some(last).flatten()
    })
}

/// Each line begins with an address of 32 hexadecimal digits.
fn all_v6(if_inet6: &str) -> impl Iterator<Item = Ipv6Addr> {
    let first = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok();
    if_inet6.lines().filter_map(move |line| first(line).map(Ipv6Addr::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.216.0.2\n        \
                    /32 host LOCAL\n     |-- 10.216.0.255\n        /32 link BROADCAST\n";
        assert_eq!(local_v4(trie).collect::<Vec<_>>(), [Ipv4Addr::new(10, 216, 0, 2)]);
        let v6 =
            "fe800000000000000000000000000001 02 40 20 80     eth0\n00000000000000000000000000000001 01 80 10 80 lo\n";
        let expected: [Ipv6Addr; 2] = ["fe80::1".parse().unwrap(), Ipv6Addr::LOCALHOST];
        assert_eq!(all_v6(v6).collect::<Vec<_>>(), expected);
    }

    /// Refused connects in ever other namespaces.
    #[test]
    fn only_the_last_namespaces_are_kept_and_only_for_a_while() {
        let (mut addresses, nobody) = (Addresses::default(), Pid::of_record(u32::MAX >> 1));
        for netns in 0..3 * KEPT.get() as u32 {
            assert!(!addresses.has(netns, nobody, Ipv4Addr::new(192, 0, 2, 1).into(), 1));
            assert!(addresses.known.len() <= KEPT.get());
        }
        let last = 3 * KEPT.get() as u32 - 1;
        let read_ns = |addresses: &Addresses| addresses.known.peek(&last).unwrap().0;
        addresses.has(last, nobody, Ipv4Addr::LOCALHOST.into(), HOLDS_NS);
        assert_eq!(read_ns(&addresses), 1);
        addresses.has(last, nobody, Ipv4Addr::LOCALHOST.into(), HOLDS_NS + 1);
        assert_eq!(read_ns(&addresses), HOLDS_NS + 1);
    }

    #[test]
    fn a_namespace_is_asked_by_a_process_that_is_in_it() {
        let own = fs::metadata("/proc/self/ns/net").unwrap().ino() as u32;
        let mut addresses = Addresses::default();
        let nowhere = "192.0.2.1".parse().unwrap();
        assert!(addresses.has(own, Pid::of_record(std::process::id()), Ipv4Addr::LOCALHOST.into(), 1));
        assert!(!addresses.has(own, Pid::of_record(std::process::id()), nowhere, 1));
        assert_eq!(read(own ^ 1, std::process::id()), HashSet::new());
    }
}
