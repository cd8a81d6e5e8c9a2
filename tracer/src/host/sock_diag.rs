//! Asks the kernel for its TCP sockets: sock_diag(7), in the calling thread's network namespace.
//!
//! [`lookup`] makes the kernel search its tables as it does for a segment; [`list`] only walks them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use netlink_packet_core::{DecodeError, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags},
};
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};

use crate::event::{Family, TcpState};

/// A TCP socket as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSocket {
    /// Its state; a connection that is not yet accepted by the handshake shows as `SYN_RECV`.
    pub state: TcpState,
    /// Local address and port.
    pub local: SocketAddr,
    /// Remote address and port; unspecified while there is no peer.
    pub remote: SocketAddr,
    /// `SO_COOKIE`.
    pub cookie: u64,
    /// Inode of the socket's file; 0 while no process has it open.
    pub inode: u32,
    /// Bytes that wait to be read; of a listener, connections that wait to be accepted.
    pub recv_queue: u32,
    /// Bytes not yet acknowledged; of a listener, its backlog.
    pub send_queue: u32,
}

/// The kernel cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither built in nor loadable.
    #[error("this kernel cannot list TCP sockets: load the tcp_diag module (modprobe tcp_diag)")]
    Unavailable,
    /// A system call failed, or the kernel refused the request.
    #[error("sock_diag: {0}")]
    Io(#[from] io::Error),
    /// The answer is not as the protocol has it.
    #[error("sock_diag: cannot read the kernel's answer: {0}")]
    Decode(#[from] DecodeError),
}

/// The socket that a segment from `remote` to `local` would meet now.
///
/// The kernel searches the established hash, then the listeners, with the functions that it uses for
/// a segment (`inet_diag_find_one_icsk`, net/ipv4/inet_diag.c). A result in state LISTEN so means
/// that the established hash had none.
///
/// # Errors
/// See [`Error`]; to find nothing is not one.
pub fn lookup(local: SocketAddr, remote: SocketAddr) -> Result<Option<TcpSocket>, Error> {
    let id = SocketId {
        source_port: local.port(),
        destination_port: remote.port(),
        source_address: local.ip(),
        destination_address: remote.ip(),
        interface_id: 0,
        cookie: [0xff; 8], // INET_DIAG_NOCOOKIE: any socket will do
    };
    match query(family_of(local), id, 0) {
        // The kernel says the same if it cannot be asked about TCP at all.
        Err(Error::Io(error)) if error.raw_os_error() == Some(libc::ENOENT) => list(family_of(local)).map(|_| None),
        found => Ok(found?.pop()),
    }
}

/// All TCP sockets of this address family; sockets of IPv6 that speak IPv4 count as IPv6.
///
/// # Errors
/// See [`Error`].
pub fn list(family: Family) -> Result<Vec<TcpSocket>, Error> {
    let id = match family {
        Family::Ipv4 => SocketId::new_v4(),
        Family::Ipv6 => SocketId::new_v6(),
    };
    query(family, id, NLM_F_DUMP).map_err(|error| match error {
        Error::Io(error) if error.raw_os_error() == Some(libc::ENOENT) => Error::Unavailable,
        other => other,
    })
}

fn family_of(address: SocketAddr) -> Family {
    if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}

fn query(family: Family, socket_id: SocketId, flags: u16) -> Result<Vec<TcpSocket>, Error> {
    let request = InetRequest {
        family: match family {
            Family::Ipv4 => AF_INET,
            Family::Ipv6 => AF_INET6,
        },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id,
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut packet = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);

    let socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.send_to(&bytes, &netlink_sys::SocketAddr::new(0, 0), 0)?;
    receive(&socket, flags & NLM_F_DUMP != 0)
}

/// Reads the answers: one message, or with `dump` all up to the one that ends them.
fn receive(socket: &Socket, dump: bool) -> Result<Vec<TcpSocket>, Error> {
    let mut found = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)?;
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    found.push(tcp_socket(&response));
                    if !dump {
                        return Ok(found);
                    }
                }
                NetlinkPayload::Done(done) if done.code < 0 => {
                    return Err(io::Error::from_raw_os_error(-done.code).into());
                }
                NetlinkPayload::Done(_) => return Ok(found),
                NetlinkPayload::Error(error) => return Err(error.to_io().into()),
                _ => {}
            }
            // Messages are aligned to 4 bytes (NLMSG_ALIGN).
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length.max(4)..).unwrap_or_default();
        }
    }
}

fn tcp_socket(response: &InetResponse) -> TcpSocket {
    let header = &response.header;
    let id = &header.socket_id;
    TcpSocket {
        state: TcpState(header.state),
        local: SocketAddr::new(plain(id.source_address), id.source_port),
        remote: SocketAddr::new(plain(id.destination_address), id.destination_port),
        cookie: cookie(id.cookie),
        inode: header.inode,
        recv_queue: header.recv_queue,
        send_queue: header.send_queue,
    }
}

/// The two halves are 32-bit numbers in host order, the low one first (`sock_diag_save_cookie`).
fn cookie(bytes: [u8; 8]) -> u64 {
    let [a, b, c, d, e, f, g, h] = bytes;
    u64::from(u32::from_ne_bytes([a, b, c, d])) | u64::from(u32::from_ne_bytes([e, f, g, h])) << 32
}

/// A v4-mapped address as the IPv4 address that it stands for.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
    };

    use super::*;

    #[test]
    fn finds_a_listener_by_a_stranger_and_both_ends_by_their_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stranger = "127.0.0.1:9".parse().unwrap();
        let Some(found) = lookup(address, stranger).unwrap() else { panic!("no listener") };
        assert_eq!((found.state, found.local), (TcpState::LISTEN, address));

        let stream = TcpStream::connect(address).unwrap();
        let own = stream.local_addr().unwrap();
        let Some(found) = lookup(own, address).unwrap() else { panic!("no client socket") };
        assert_eq!((found.state, found.local, found.remote), (TcpState::ESTABLISHED, own, address));
        let link = std::fs::read_link(format!("/proc/self/fd/{}", stream.as_raw_fd())).unwrap();
        assert_eq!(link.to_str(), Some(format!("socket:[{}]", found.inode).as_str()));
        assert!(list(Family::Ipv4).unwrap().contains(&found));
    }

    #[test]
    fn finding_nothing_is_not_an_error() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(lookup(closed, "127.0.0.1:9".parse().unwrap()).unwrap(), None);
    }
}
