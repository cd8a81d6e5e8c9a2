//! Which events one wants to see: as options ([`FilterArgs`]), as what the kernel's programs go by
//! ([`Criteria`]), and for recordings ([`Admission`]).
//!
//! Different filters are ANDed, several values of one filter are ORed.

use std::net::IpAddr;

use clap::Args;
use ipnet::{IpNet, Ipv4Net};

use crate::event::Opened;

mod admission;
#[cfg(test)]
mod agreement;
mod criteria;
mod ports;

pub use self::{admission::Admission, criteria::Criteria, ports::Ports};

/// The options.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters (different options are ANDed; repeated values are ORed)")]
pub struct FilterArgs {
    /// Sockets of these processes; the trace stops when they exit
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub pids: Vec<u32>,

    /// With -p, also sockets of their child processes
    #[arg(short, long, requires = "pids")]
    pub follow: bool,

    /// Sockets of these users, by name or id
    #[arg(short, long = "user", value_name = "USER", value_delimiter = ',')]
    pub users: Vec<String>,

    /// Sockets of processes or threads with these names (as in /proc/PID/comm, at most 15 bytes)
    #[arg(long = "comm", value_name = "NAME", value_parser = comm)]
    pub comms: Vec<String>,

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

    /// Network namespaces: names of `ip netns`, paths, or inodes
    #[arg(long = "netns", value_name = "NETNS")]
    pub netns: Vec<String>,

    /// Sockets of processes in these cgroups and their descendants, such as /system.slice/ssh.service
    #[arg(long = "cgroup", value_name = "PATH", value_parser = cgroup)]
    pub cgroups: Vec<String>,

    /// Only connections opened this way; earlier events are not shown
    #[arg(long, value_name = "HOW", value_delimiter = ',')]
    pub opens: Vec<Opened>,
}

/// Longest name of a thread in bytes (TASK_COMM_LEN without its NUL).
const COMM_LENGTH: usize = 15;

fn comm(text: &str) -> Result<String, String> {
    // The kernel would cut it off, and so it would never match.
    if text.is_empty() || text.len() > COMM_LENGTH {
        return Err(format!("thread names are limited to {COMM_LENGTH} bytes: give the truncated name"));
    }
    Ok(text.to_owned())
}

/// The path in the hierarchy, also from that of its directory.
fn cgroup(text: &str) -> Result<String, String> {
    let path = text.strip_prefix("/sys/fs/cgroup").unwrap_or(text).trim_end_matches('/');
    Ok(format!("/{}", path.trim_start_matches('/')))
}

fn network(text: &str) -> Result<IpNet, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn control_groups_may_be_named_by_their_directory() {
        for text in ["/user.slice", "user.slice", "/sys/fs/cgroup/user.slice/"] {
            assert_eq!(cgroup(text).unwrap(), "/user.slice");
        }
        assert_eq!(cgroup("/").unwrap(), "/");
    }

    #[test]
    fn a_name_that_can_never_match_is_refused() {
        assert!(comm("fifteen-bytes-x").is_ok());
        assert!(comm("sixteen-bytes-xx").is_err());
        assert!(comm("").is_err());
    }
}
