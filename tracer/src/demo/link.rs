//! Links and addresses of the calling thread's network namespace, through rtnetlink (RFC 3549).

use std::{io, net::IpAddr};

use anyhow::{Context as _, anyhow, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressMessage},
    link::{LinkFlags, LinkMessage},
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};

/// Index of `lo`, the first device of every namespace.
pub const LOOPBACK: u32 = 1;

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

/// Gives the link an address; the prefix is reached over the link.
///
/// # Errors
/// The kernel's refusal; for IPv6, that this kernel runs without it.
pub fn add_address(index: u32, address: IpAddr, prefix_len: u8) -> anyhow::Result<()> {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = prefix_len;
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    if address.is_ipv6() {
        // The address must be usable at once, not after a second of duplicate detection (RFC 4862).
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL).map_err(|error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::EACCES) if address.is_ipv6() => {
                anyhow!("this kernel runs without IPv6 (or disables it in new namespaces): use -4")
            }
            _ => error.context(format!("cannot give link {index} the address {address}/{prefix_len}")),
        }
    })
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
