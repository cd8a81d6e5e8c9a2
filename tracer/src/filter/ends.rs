//! Filters by the two ends of a connection: ports, addresses, family.

use std::net::IpAddr;

use clap::Args;
use ipnet::{IpNet, Ipv4Net};
use tracer_ebpf::criteria::{
    BY_ADDRESS, BY_IPV4, BY_IPV6, BY_LOCAL_PORT, BY_PORT, BY_REMOTE_PORT, SET_EITHER, SET_LOCAL, SET_REMOTE,
    switches::FILTER_ENDS,
};

use super::{Criteria, Filter, Ports, ports};
use crate::event::{Event, Family};

/// The options.
#[derive(Debug, Clone, Default, Args)]
pub struct EndsArgs {
    /// Local or remote port: a list of ports and ranges
    #[arg(short = 'P', long = "port", value_name = "PORTS", value_delimiter = ',')]
    pub ports: Vec<Ports>,

    /// Local port; unbound sockets do not match
    #[arg(short = 'L', long = "local-port", value_name = "PORTS", value_delimiter = ',')]
    pub local_ports: Vec<Ports>,

    /// Remote port
    #[arg(short = 'D', long = "remote-port", value_name = "PORTS", value_delimiter = ',')]
    pub remote_ports: Vec<Ports>,

    /// Local or remote address, in a network such as 10.0.0.0/8 or ::1
    #[arg(long = "addr", value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    pub networks: Vec<IpNet>,

    /// IPv4 only, including IPv6 sockets that use it
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,

    /// IPv6 only
    #[arg(short = '6', long)]
    pub ipv6: bool,
}

impl Filter for EndsArgs {
    fn resolve(&self, criteria: &mut Criteria) -> anyhow::Result<()> {
        let sets = [
            (&self.ports, SET_EITHER, BY_PORT),
            (&self.local_ports, SET_LOCAL, BY_LOCAL_PORT),
            (&self.remote_ports, SET_REMOTE, BY_REMOTE_PORT),
        ];
        for (ports, set, bit) in sets.into_iter().filter(|(ports, ..)| !ports.is_empty()) {
            criteria.ports.push((set, ports::as_set(ports)));
            criteria.switch(FILTER_ENDS, bit);
        }
        criteria.networks = self.networks.iter().flat_map(as_v6).collect();
        let bits = [(self.ipv4, BY_IPV4), (self.ipv6, BY_IPV6), (!self.networks.is_empty(), BY_ADDRESS)];
        for (_, bit) in bits.into_iter().filter(|(wanted, _)| *wanted) {
            criteria.switch(FILTER_ENDS, bit);
        }
        Ok(())
    }

    fn admits(&self, event: &Event) -> bool {
        let Self { ports: either, local_ports, remote_ports, networks, ipv4, ipv6 } = self;
        let (local, remote) = (event.local, event.remote);
        let has = |wanted: &[Ports], ports: &[u16]| {
            wanted.is_empty() || ports.iter().any(|&port| ports::contain(wanted, port))
        };
        let has_family = match event.family {
            Family::Ipv4 => !*ipv6,
            Family::Ipv6 => !*ipv4,
        };
        has_family
            && has(either, &[local.port(), remote.port()])
            && has(local_ports, &[local.port()])
            && has(remote_ports, &[remote.port()])
            && (networks.is_empty()
                || networks.iter().any(|net| net.contains(&local.ip()) || net.contains(&remote.ip())))
    }
}

pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    // As one may write an IPv4 address among those of IPv6.
    let as_v4 = |net: IpNet| match net {
        IpNet::V6(v6) => {
            let address = v6.addr().to_ipv4_mapped()?;
            Some(Ipv4Net::new(address, v6.prefix_len().checked_sub(96)?).ok()?.into())
        }
        IpNet::V4(_) => None,
    };
    net.map(|net| as_v4(net).unwrap_or(net))
        .ok_or_else(|| "expected an address or a network such as 10.0.0.0/8".to_owned())
}

/// A network as the programs' map has it. One of IPv6 that includes the v4-mapped addresses is taken apart to
/// leave them out: to the programs they are IPv4.
fn as_v6(net: &IpNet) -> Vec<(u32, [u8; 16])> {
    const MAPPED: u128 = 0xffff << 32;
    const MAPPED_PREFIX: u32 = 96;

    let prefix = u32::from(net.prefix_len());
    match net.network() {
        IpAddr::V4(address) => vec![(MAPPED_PREFIX + prefix, address.to_ipv6_mapped().octets())],
        IpAddr::V6(_) if prefix < MAPPED_PREFIX && net.contains(&IpAddr::V6(MAPPED.into())) => {
            // All but those of this half, then of this quarter, ...
            let other_half = |bit: u32| (MAPPED ^ 1 << (127 - bit)) & u128::MAX << (127 - bit);
            (prefix..MAPPED_PREFIX).map(|bit| (bit + 1, other_half(bit).to_be_bytes())).collect()
        }
        IpAddr::V6(address) => vec![(prefix, address.octets())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(args: &EndsArgs) -> Criteria {
        let mut criteria = Criteria::default();
        args.resolve(&mut criteria).unwrap();
        criteria
    }

    #[test]
    fn addresses_are_networks_too() {
        assert_eq!(network("10.1.2.3").unwrap().prefix_len(), 32);
        assert_eq!(network("2001:db8::/32").unwrap().prefix_len(), 32);
        assert_eq!(network("::ffff:10.0.0.0/104"), network("10.0.0.0/8"));
        assert_eq!(network("::ffff:10.1.2.3"), network("10.1.2.3"));
        for wrong in ["", "10.0.0.0/33", "example.org", "10/8"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn networks_of_ipv4_are_v4_mapped() {
        let (prefix, address) = as_v6(&"10.1.2.3/8".parse().unwrap())[0];
        assert_eq!((prefix, &address[10..]), (104, [0xff, 0xff, 10, 0, 0, 0].as_slice()));
        assert_eq!(as_v6(&"::1/128".parse().unwrap())[0].1[15], 1);
    }

    #[test]
    fn networks_of_ipv6_do_not_include_ipv4() {
        for net in ["::/0", "::/64", "::fffe:0:0/95"] {
            let parts = as_v6(&net.parse().unwrap());
            let includes = |address: &str| {
                let address = address.parse::<std::net::Ipv6Addr>().unwrap().to_bits();
                parts.iter().any(|(prefix, net)| (address ^ u128::from_be_bytes(*net)) >> (128 - prefix) == 0)
            };
            assert!(!includes("::ffff:0.0.0.0") && !includes("::ffff:255.1.2.3"), "{net}");
            assert!(includes("::fffe:0:0") && includes("::fffe:ffff:ffff"), "{net}");
            assert_eq!((includes("::1"), includes("2001:db8::1")), (net.starts_with("::/"), net == "::/0"), "{net}");
        }
    }

    #[test]
    fn a_ports_bounds_are_those_of_this_hosts_end() {
        let of = |text: &str| vec![text.parse().unwrap()];
        let bounds = |args: EndsArgs| resolved(&args).local_ports();
        let both = EndsArgs { ports: of("80"), local_ports: of("8000-8999"), ..Default::default() };
        assert_eq!(bounds(both), (80, 8999));
        let remote = EndsArgs { remote_ports: of("443"), ..Default::default() };
        assert_eq!(bounds(remote), (0, u16::MAX));
        assert_eq!(bounds(EndsArgs::default()), (0, u16::MAX));
    }

    #[test]
    fn each_option_sets_its_bit() {
        let ports = vec!["80".parse().unwrap()];
        let criteria = resolved(&EndsArgs { local_ports: ports, ipv6: true, ..Default::default() });
        assert_eq!(criteria.switches, [(FILTER_ENDS, BY_LOCAL_PORT | BY_IPV6)].into());
        assert!(resolved(&EndsArgs::default()).are_none());
    }
}
