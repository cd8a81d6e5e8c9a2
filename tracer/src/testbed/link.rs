//! Links and addresses of the calling thread's network namespace, through rtnetlink(7).

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
};

use anyhow::{Context as _, anyhow};
use netlink_bindings::{
    rt_addr::{self, IfaFlags, Ifaddrmsg},
    rt_link::{self, Ifinfomsg},
    rt_route::{OpNewrouteDo, RtmType},
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use nix::sys::{
    socket::{setsockopt, sockopt::ReceiveTimeout},
    time::{TimeVal, TimeValLike},
};

use crate::testbed::netlink;

/// Index of `lo`, the first device of every namespace.
pub const LOOPBACK: u32 = 1;
/// The longest wait for a route; it takes some milliseconds at most.
const ROUTE_TIMEOUT_SECONDS: i64 = 2;

/// Sets the link with this index up.
///
/// # Errors
/// The kernel's refusal.
pub fn bring_up(index: u32) -> anyhow::Result<()> {
    let up = libc::IFF_UP as u32;
    let header = Ifinfomsg { ifi_index: index.cast_signed(), ifi_flags: up, ifi_change: up, ..Ifinfomsg::default() };
    let request = rt_link::Request::new().op_setlink_do(&header);
    netlink::carry_out(&request).with_context(|| format!("cannot set link {index} up"))
}

/// Gives a link that is up an address, and returns once that can be used; the prefix is reached over
/// the link.
///
/// # Errors
/// The kernel's refusal; for IPv6, that this kernel runs without it.
pub fn add_address(index: u32, address: IpAddr, prefix_len: u8) -> anyhow::Result<()> {
    let mut header = Ifaddrmsg { ifa_prefixlen: prefix_len, ifa_index: index, ..Ifaddrmsg::default() };
    let add = |header: &Ifaddrmsg| {
        let mut request = rt_addr::Request::new().set_create().set_excl().op_newaddr_do(header);
        drop(request.encode().push_local(address).push_address(address));
        netlink::carry_out(&request)
            .map_err(|error| explain(error, address))
            .with_context(|| format!("cannot give link {index} the address {address}/{prefix_len}"))
    };
    match address {
        IpAddr::V4(_) => {
            header.ifa_family = libc::AF_INET as u8;
            add(&header)
        }
        IpAddr::V6(address) => {
            header.ifa_family = libc::AF_INET6 as u8;
            // Without the second of duplicate address detection (RFC 4862).
            header.ifa_flags = IfaFlags::Nodad as u8;
            let routes = RouteEvents::subscribe().context("cannot watch routes")?;
            add(&header)?;
            routes.wait_for_local(address).with_context(|| format!("no route came for the address {address}"))
        }
    }
}

fn explain(error: anyhow::Error, address: IpAddr) -> anyhow::Error {
    match error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
        Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::EACCES) if address.is_ipv6() => {
            anyhow!("this kernel runs without IPv6, or disables it in new namespaces: use -4")
        }
        _ => error,
    }
}

/// The namespace's IPv6 route changes, as the kernel announces them.
///
/// It acknowledges an IPv6 address before that is of use: the route to it comes from a work queue
/// (`addrconf_dad_work`, net/ipv6/addrconf.c), also where there is no detection of duplicates.
struct RouteEvents(Socket);

impl RouteEvents {
    fn subscribe() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.add_membership(libc::RTNLGRP_IPV6_ROUTE)?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(ROUTE_TIMEOUT_SECONDS))?;
        Ok(Self(socket))
    }

    /// Returns when segments to this address are taken for this host's.
    fn wait_for_local(&self, address: Ipv6Addr) -> anyhow::Result<()> {
        netlink::receive(&self.0, |message| {
            if message.kind != libc::RTM_NEWROUTE {
                return Ok(None);
            }
            let (header, route) = OpNewrouteDo::decode_request(message.payload);
            let local = header.rtm_type == RtmType::Local as u8 && route.get_dst().is_ok_and(|to| to == address);
            Ok(local.then_some(()))
        })
    }
}
