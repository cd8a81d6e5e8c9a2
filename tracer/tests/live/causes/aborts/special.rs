//! Aborts that need more of the kernel than TCP.

use std::{fs, io, net::SocketAddr, path::Path};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tracer::{
    demo::{host::Host, netlink},
    event::Flags,
};

use super::{
    super::{
        Lacks, Played,
        peers::{WINDOW, hand::Hand, played},
    },
    BOTH_ENDS, on_loopback,
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

/// Closing with data unread and without lingering ends all subflows (RFC 8684, section 3.5).
pub(super) fn mptcp() -> anyhow::Result<Played> {
    let host = Host::new("mptcp")?;
    let client = host.run(|| {
        let socket = || {
            Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP))
                .map_err(|_| Lacks("this kernel has no MPTCP, or it is off"))
        };
        let listener = socket()?;
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        listener.listen(1)?;
        let client = socket()?;
        client.connect(&listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        tracer::demo::tcp::say(&client, b"unread")?;
        tracer::demo::tcp::hear(&server, 1)?;
        setsockopt(&server, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
        drop(server);
        Ok((listener, client))
    })?;
    if host.out_rsts()? == 0 {
        return Err(Lacks("this kernel's MPTCP closes in order what it might reset").into());
    }
    Ok(Played { netns: vec![host.netns()], rsts: BOTH_ENDS, alive: vec![Box::new(client), Box::new(host)] })
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
