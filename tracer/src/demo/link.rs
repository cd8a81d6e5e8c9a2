//! Links and addresses of the calling thread's network namespace, through rtnetlink (RFC 3549).

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
};

use anyhow::{Context as _, anyhow, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressMessage},
    link::{LinkFlags, LinkMessage},
    route::{RouteAddress, RouteAttribute, RouteType},
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use nix::sys::{
    socket::{setsockopt, sockopt::ReceiveTimeout},
    time::{TimeVal, TimeValLike},
};

/// Index of `lo`, the first device of every namespace.
pub const LOOPBACK: u32 = 1;
/// The longest wait for a route; it takes some milliseconds at most.
const ROUTE_TIMEOUT_SECONDS: i64 = 2;

/// Sets the link with this index up.
///
/// # Errors
/// The kernel's refusal.
pub fn bring_up(index: u32) -> anyhow::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    request(RouteNetlinkMessage::SetLink(link), 0).with_context(|| format!("cannot set link {index} up"))
}

/// Gives a link that is up an address, and returns once that can be used; the prefix is reached over
/// the link.
///
/// # Errors
/// The kernel's refusal; for IPv6, that this kernel runs without it.
pub fn add_address(index: u32, address: IpAddr, prefix_len: u8) -> anyhow::Result<()> {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = prefix_len;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    let add = |message| {
        request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|error| explain(error, address))
            .with_context(|| format!("cannot give link {index} the address {address}/{prefix_len}"))
    };
    match address {
        IpAddr::V4(_) => {
            message.header.family = AddressFamily::Inet;
            add(message)
        }
        IpAddr::V6(address) => {
            message.header.family = AddressFamily::Inet6;
            // Without the second of duplicate address detection (RFC 4862).
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            let routes = RouteEvents::subscribe()?;
            add(message)?;
            routes.wait_for_local(address)
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
    fn subscribe() -> anyhow::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE).context("cannot watch routes")?;
        socket.bind_auto().context("cannot watch routes")?;
        socket.add_membership(libc::RTNLGRP_IPV6_ROUTE).context("cannot watch routes")?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(ROUTE_TIMEOUT_SECONDS)).context("cannot watch routes")?;
        Ok(Self(socket))
    }

    /// Returns when segments to this address are taken for this host's.
    fn wait_for_local(&self, address: Ipv6Addr) -> anyhow::Result<()> {
        let wanted = RouteAttribute::Destination(RouteAddress::Inet6(address));
        loop {
            let (datagram, _) =
                self.0.recv_from_full().with_context(|| format!("no route came for the address {address}"))?;
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&datagram)?;
            if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) = message.payload
                && route.header.kind == RouteType::Local
                && route.attributes.contains(&wanted)
            {
                return Ok(());
            }
        }
    }
}

/// Sends one request and waits for its acknowledgement.
fn request(message: RouteNetlinkMessage, flags: u16) -> anyhow::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);

    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.send_to(&bytes, &netlink_sys::SocketAddr::new(0, 0), 0)?;
    let (reply, _) = socket.recv_from_full()?;
    match NetlinkMessage::<RouteNetlinkMessage>::deserialize(&reply)?.payload {
        NetlinkPayload::Error(answer) if answer.code.is_none() => Ok(()),
        NetlinkPayload::Error(answer) => Err(answer.to_io().into()),
        other => bail!("rtnetlink answered with {other:?} in place of an acknowledgement"),
    }
}
