//! Netlink requests and their answers (RFC 3549), for what the demo configures: links, addresses, filters.

use std::io;

use anyhow::Context as _;
use netlink_bindings::{
    builtin::Nlmsghdr,
    traits::{NetlinkRequest, Protocol},
};
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, NetlinkBuffer};
use netlink_sys::{Socket, SocketAddr};

/// A message that came from the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// The sequence number of the request that it answers.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// `Some` if this ends a request without a result: an acknowledgement, or the kernel's refusal.
    pub fn outcome(&self) -> Option<io::Result<()>> {
        if self.kind != NLMSG_ERROR {
            return None;
        }
        // `struct nlmsgerr` begins with a negative errno, or zero.
        let code = self.payload.first_chunk().map(|code| i32::from_ne_bytes(*code));
        Some(match code {
            Some(0) => Ok(()),
            Some(code) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        })
    }
}

/// Sends messages, each with its header, to the kernel; the answers come through the socket returned.
///
/// # Errors
/// The kernel has no such netlink protocol, or does not take the messages.
pub fn send(protocol: isize, messages: &[u8]) -> io::Result<Socket> {
    let socket = Socket::new(protocol)?;
    socket.send_to(messages, &SocketAddr::new(0, 0), 0)?;
    Ok(socket)
}

/// Reads messages until `take` has had enough and returns `Some`.
///
/// # Errors
/// What `take` returns; or the socket's errors, its timeout among them.
pub fn receive<T>(
    socket: &Socket,
    mut take: impl FnMut(Message<'_>) -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).context("the kernel's answer is no netlink message")?;
            let taken = take(Message {
                kind: message.message_type(),
                sequence: message.sequence_number(),
                payload: message.payload(),
            })?;
            if let Some(taken) = taken {
                return Ok(taken);
            }
            rest = rest.get((message.length() as usize).next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// Sends one request and waits until the kernel has done it.
///
/// # Errors
/// The kernel's refusal, as an [`io::Error`] with its errno.
pub fn carry_out(request: &impl NetlinkRequest) -> anyhow::Result<()> {
    let (protocol, message) = message(request, NLM_F_ACK);
    receive(&send(protocol, &message)?, |message| Ok(message.outcome().transpose()?))
}

/// A request as one message, and the netlink protocol that it is of.
pub fn message(request: &impl NetlinkRequest, flags: u16) -> (isize, Vec<u8>) {
    let (protocol, kind) = match request.protocol() {
        Protocol::Raw { protonum, request_type } => (protonum, request_type),
        Protocol::Generic(name) => unreachable!("the demo makes no request to the generic family {name:?}"),
    };
    let payload = request.payload();
    let header = Nlmsghdr {
        len: (Nlmsghdr::len() + payload.len()) as u32,
        r#type: kind,
        flags: NLM_F_REQUEST | request.flags() | flags,
        seq: 1,
        pid: 0,
    };
    (protocol.cast_signed().into(), [header.as_slice(), payload].concat())
}
