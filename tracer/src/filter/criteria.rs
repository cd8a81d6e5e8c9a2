//! What the kernel's programs go by: numbers of this host.

use std::{fs, net::IpAddr, os::unix::fs::MetadataExt as _, path::Path};

use anyhow::{Context as _, bail};
use ipnet::IpNet;
use nix::errno::Errno;
use tracer_ebpf::criteria::{
    BY_ADDRESS, BY_CGROUP, BY_COMM, BY_IPV4, BY_IPV6, BY_LOCAL_PORT, BY_PID, BY_PORT, BY_REMOTE_PORT, BY_UID, PortSet,
    SET_EITHER, SET_LOCAL, SET_REMOTE,
};

use super::{FilterArgs, ports};
use crate::{
    event::Opened,
    host::{pid_namespace, pidfd, users::User},
    pipeline::enrich::{connection::OPENS, host_facts},
};

/// What opening a process fails with where there is none: or only a thread, or an id that none can have.
const NO_PROCESS: [Errno; 3] = [Errno::ESRCH, Errno::EINVAL, Errno::ENOENT];

/// Where `ip netns` keeps its namespaces.
const NAMED: &str = "/run/netns";

/// The filters, resolved.
#[derive(Debug, Clone, Default)]
pub struct Criteria {
    /// `BY_` bits for the two ends.
    pub ends: u8,
    /// `BY_` bits for the owner.
    pub owner: u8,
    /// A bit for each way to open, 0 for all.
    pub opens: u8,
    /// Of closes only those of what died without a RST.
    pub deaths_only: bool,
    /// Children of the processes too.
    pub follow: bool,
    /// Ports, by their index in the programs' map.
    pub ports: Vec<(u32, Box<PortSet>)>,
    /// Networks of IPv6; those of IPv4 are v4-mapped.
    pub networks: Vec<(u32, [u8; 16])>,
    /// Processes.
    pub pids: Vec<u32>,
    /// Users.
    pub uids: Vec<u32>,
    /// Names of threads.
    pub comms: Vec<[u8; 16]>,
    /// Ids of control groups.
    pub cgroups: Vec<u64>,
    /// Inodes of network namespaces; none if all are wanted.
    pub netns: Option<Vec<u32>>,
}

impl Criteria {
    /// Whether they let all RSTs of all namespaces pass.
    pub fn are_none(&self) -> bool {
        self.ends == 0 && self.owner == 0 && self.opens == 0 && self.netns.is_none()
    }

    /// Only network namespaces that are yet to be named.
    pub fn of_no_netns() -> Self {
        Self { netns: Some(Vec::new()), ..Self::default() }
    }

    /// What the options mean on this host.
    ///
    /// # Errors
    /// If there is no such process, user, namespace or control group.
    pub fn of_host(args: &FilterArgs) -> anyhow::Result<Self> {
        let mut criteria = Self { follow: args.follow, ..Self::default() };
        for &pid in &args.pids {
            // Not by /proc, which may be that of another pid namespace.
            if pidfd::open(pid).is_err_and(|error| NO_PROCESS.contains(&error)) {
                bail!("no such process: {pid} (try ps or pgrep){}", elsewhere());
            }
            criteria.want_process(pid);
        }
        for user in &args.users {
            criteria.uids.push(user_id(user)?);
            criteria.owner |= BY_UID;
        }
        for name in &args.comms {
            let mut comm = [0; 16];
            comm[..name.len()].copy_from_slice(name.as_bytes());
            criteria.comms.push(comm);
            criteria.owner |= BY_COMM;
        }
        for path in &args.cgroups {
            let id = host_facts::cgroup_id(path);
            criteria.cgroups.push(id.with_context(|| {
                format!("no such cgroup: {path} (see `systemd-cgls`, or the last line of /proc/PID/cgroup)")
            })?);
            criteria.owner |= BY_CGROUP;
        }
        if !args.netns.is_empty() {
            criteria.netns = Some(args.netns.iter().map(|name| netns_inode(name)).collect::<Result<_, _>>()?);
        }
        let sets = [
            (&args.ports, SET_EITHER, BY_PORT),
            (&args.local_ports, SET_LOCAL, BY_LOCAL_PORT),
            (&args.remote_ports, SET_REMOTE, BY_REMOTE_PORT),
        ];
        for (ports, set, bit) in sets.into_iter().filter(|(ports, ..)| !ports.is_empty()) {
            criteria.ports.push((set, ports::as_set(ports)));
            criteria.ends |= bit;
        }
        criteria.networks = args.networks.iter().flat_map(as_v6).collect();
        let bits = [(args.ipv4, BY_IPV4), (args.ipv6, BY_IPV6), (!args.networks.is_empty(), BY_ADDRESS)];
        criteria.ends |= bits.into_iter().filter(|(wanted, _)| *wanted).fold(0, |all, (_, bit)| all | bit);
        criteria.opens = opens(&args.opens);
        Ok(criteria)
    }

    /// Lowest and highest of the ports that this host's end may have.
    pub fn local_ports(&self) -> (u16, u16) {
        let sets = self.ports.iter().filter(|(set, _)| *set != SET_REMOTE);
        let all = sets.filter_map(|(_, set)| ports::bounds(set));
        all.reduce(|(low, high), (lower, higher)| (low.min(lower), high.max(higher))).unwrap_or((0, u16::MAX))
    }

    /// Sockets of this process.
    pub fn want_process(&mut self, pid: u32) {
        self.pids.push(pid);
        self.owner |= BY_PID;
    }
}

/// Why a process that one knows of may not be there.
fn elsewhere() -> &'static str {
    match pid_namespace::inode() {
        Some(_) => "; the tracer is in a pid namespace of its own: run it in the host's to find processes there",
        None => "",
    }
}

fn opens(wanted: &[Opened]) -> u8 {
    OPENS.iter().filter(|(_, opened)| wanted.contains(opened)).fold(0, |bits, (number, _)| bits | 1 << number)
}

fn user_id(user: &str) -> anyhow::Result<u32> {
    if let Ok(id) = user.parse() {
        return Ok(id);
    }
    let found = User::from_name(user).with_context(|| format!("cannot look up the user {user}"))?;
    let found = found.with_context(|| format!("no such user: {user} (see `getent passwd`)"))?;
    Ok(found.uid.as_raw())
}

fn netns_inode(name: &str) -> anyhow::Result<u32> {
    if let Ok(inode) = name.parse() {
        return Ok(inode);
    }
    let path = if name.contains('/') { Path::new(name).to_owned() } else { Path::new(NAMED).join(name) };
    let inode = fs::metadata(&path)
        .with_context(|| format!("no such netns: {name} (see `ip netns`, or give a path such as /proc/PID/ns/net)"))?;
    Ok(u32::try_from(inode.ino())?)
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
    fn what_is_not_there_is_refused_with_a_remedy() {
        let refused = |args: FilterArgs| Criteria::of_host(&args).unwrap_err().to_string();
        // The kernel's own limit is 2^22 (PID_MAX_LIMIT).
        assert!(refused(FilterArgs { pids: vec![u32::MAX], ..Default::default() }).contains("pgrep"));
        assert!(refused(FilterArgs { users: vec!["no such".into()], ..Default::default() }).contains("getent"));
        assert!(refused(FilterArgs { netns: vec!["no such".into()], ..Default::default() }).contains("ip netns"));
        assert!(refused(FilterArgs { cgroups: vec!["/no such".into()], ..Default::default() }).contains("cgroup"));
    }

    #[test]
    fn a_ports_bounds_are_those_of_this_hosts_end() {
        let of = |text: &str| vec![text.parse().unwrap()];
        let bounds = |args: FilterArgs| Criteria::of_host(&args).unwrap().local_ports();
        let both = FilterArgs { ports: of("80"), local_ports: of("8000-8999"), ..Default::default() };
        assert_eq!(bounds(both), (80, 8999));
        let remote = FilterArgs { remote_ports: of("443"), ..Default::default() };
        assert_eq!(bounds(remote), (0, u16::MAX));
        assert_eq!(bounds(FilterArgs::default()), (0, u16::MAX));
    }

    #[test]
    fn each_kind_sets_its_bit() {
        let own = std::process::id();
        let args = FilterArgs { pids: vec![own], users: vec!["root".into(), "7".into()], ..Default::default() };
        let criteria = Criteria::of_host(&args).unwrap();
        assert_eq!((criteria.owner, criteria.ends), (BY_PID | BY_UID, 0));
        assert_eq!((criteria.pids, criteria.uids), (vec![own], vec![0, 7]));
        let ports = vec!["80".parse().unwrap()];
        let args = FilterArgs { local_ports: ports, ipv6: true, opens: vec![Opened::Itself], ..Default::default() };
        let criteria = Criteria::of_host(&args).unwrap();
        assert_eq!((criteria.owner, criteria.ends, criteria.opens), (0, BY_LOCAL_PORT | BY_IPV6, 1 << 4));
        assert!(criteria.netns.is_none());
    }
}
