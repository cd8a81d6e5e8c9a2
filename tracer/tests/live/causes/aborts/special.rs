//! Aborts that need more of the kernel than TCP.

use std::{fs, io, net::SocketAddr, path::Path};

use socket2::{Domain, Protocol, Socket, Type};
use tracer::{event::Flags, testbed::netlink};

use super::{
    super::{
        Lacks, Played,
        peers::{WINDOW, hand::Hand, played},
        puppet::{HERE, PEER, Peer, Puppet, SYN},
    },
    on_loopback,
};

/// What `ss -K` sends (sock_diag(7), include/uapi/linux/inet_diag.h).
pub(in super::super) fn destroy(local: SocketAddr, remote: SocketAddr) -> anyhow::Result<()> {
    const SOCK_DESTROY: u16 = 21;
    const REQUEST_AND_ACK: u16 = 5;
    let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (local, remote) else { unreachable!("of IPv4") };
    let mut body = vec![libc::AF_INET as u8, libc::IPPROTO_TCP as u8, 0, 0];
    body.extend(u32::MAX.to_ne_bytes()); // Of any state.
    body.extend(local.port().to_be_bytes());
    body.extend(remote.port().to_be_bytes());
    for address in [local, remote] {
        body.extend(address.ip().octets());
        body.extend([0; 12]);
    }
    body.extend([0; 4]); // On any device.
    body.extend([0xff; 8]); // INET_DIAG_NOCOOKIE
    let mut message = (16 + body.len() as u32).to_ne_bytes().to_vec();
    message.extend(SOCK_DESTROY.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]); // No sequence number, to the kernel.
    message.extend(body);
    let socket = netlink::send(libc::NETLINK_SOCK_DIAG as isize, &message)?;
    netlink::receive(&socket, |answer| Ok(answer.outcome().transpose()?)).map_err(|error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            Some(libc::EOPNOTSUPP) => Lacks("CONFIG_INET_DIAG_DESTROY is off").into(),
            _ => error,
        }
    })
}

pub(super) fn destroyed() -> anyhow::Result<Played> {
    on_loopback("destroyed", |client, server| {
        destroy(client.local_addr()?, client.peer_addr()?)?;
        Ok((client, server))
    })
}

/// A subflow that wants to join a connection that is not there (RFC 8684, section 3.2).
pub(super) fn mptcp() -> anyhow::Result<Played> {
    /// MP_JOIN in a SYN: kind, length, subtype and flags, address id, token, random number.
    const JOIN: [u8; 12] = [30, 12, 0x10, 1, 1, 2, 3, 4, 5, 6, 7, 8];
    let mut net = Puppet::new("mptcp")?;
    let address = SocketAddr::new(HERE.parse()?, 47306);
    let listener = net.host.run(move || {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP))
            .map_err(|_| Lacks("this kernel has no MPTCP, or it is off"))?;
        listener.bind(&address.into())?;
        listener.listen(1)?;
        Ok(listener)
    })?;
    net.send_with(Peer::new(PEER, 4306, 47306), SYN, &[], &JOIN)?;
    let answer = net.receive("an answer", |packet| packet.is_rst() || packet.is_syn_ack())?;
    if !answer.is_rst() {
        return Err(Lacks("this kernel's MPTCP lets a subflow join nothing").into());
    }
    Ok(net.played(1, vec![listener]))
}

/// tcp_max_orphans is of all namespaces together: only in a machine that has nothing else to do.
pub(super) fn orphan_limit() -> anyhow::Result<Played> {
    const LIMIT: &str = "/proc/sys/net/ipv4/tcp_max_orphans";
    if fs::read_link("/proc/1/exe").ok().as_deref() != Some(Path::new("/init")) {
        return Err(Lacks("its limits are the whole machine's, which is not this test's alone").into());
    }
    let (host, hand) = Hand::with("orphans")?;
    let line = hand.connected(&host, WINDOW)?;
    let (before, far) = (fs::read_to_string(LIMIT)?, line.far);
    fs::write(LIMIT, "-1")?;
    let closed = host.run(move || {
        drop(line.socket);
        Ok(())
    });
    let heard = hand.hear(far, Flags::RST);
    fs::write(LIMIT, before)?;
    closed.and(heard)?;
    Ok(played(host, hand, vec![], 1))
}
