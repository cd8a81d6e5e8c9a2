//! Connections that are made only to be closed.

use std::{
    io::{self, Read as _},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
};

use nix::{
    errno::Errno,
    sys::socket::{setsockopt, sockopt},
};

use super::worker::Worker;

/// How a connection ends.
#[derive(Clone, Copy)]
pub(super) enum Close {
    Rst,
    Fin,
}

/// Both ends in one thread: on loopback the kernel does the rest within the calls.
pub(super) struct Churn {
    listener: TcpListener,
    port: u16,
    close: Close,
    turn: u32,
}

impl Churn {
    pub(super) fn new(close: Close) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port, close, turn: 0 })
    }

    /// The first connection to each series of addresses, if it ends in order, goes the rarer way: its peer acknowledges the FIN before it sends its own. A
    /// tracer that has something to look up for that (the names of the kernel's functions) does so during the warm-up
    /// then, and not when a stall makes a connection go this way by chance.
    fn is_rarer(&self) -> bool {
        matches!(self.close, Close::Fin) && self.turn == 0
    }

    /// Another address each time, so that the ports that TIME_WAIT keeps are not in the way.
    fn next_address(&mut self) -> SocketAddrV4 {
        self.turn = (self.turn + 1) % 0xffff;
        let [.., high, low] = (self.turn + 1).to_be_bytes();
        SocketAddrV4::new(Ipv4Addr::new(127, 1, high, low), self.port)
    }
}

impl Worker for Churn {
    fn operate(&mut self) -> io::Result<()> {
        let is_rarer = self.is_rarer();
        let client = TcpStream::connect(self.next_address())?;
        let (server, _) = self.listener.accept()?;
        if let Close::Rst = self.close {
            setsockopt(&client, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
        }
        drop(client);
        if is_rarer {
            acknowledge_end(&server)?;
        }
        drop(server);
        Ok(())
    }
}

/// Lets a socket acknowledge the peer's FIN, and not wait for something to send with it (`TCP_QUICKACK`). The kernel does
/// so only when there is nothing left to read, and the end is something to read.
fn acknowledge_end(mut socket: &TcpStream) -> io::Result<()> {
    let unread = socket.read(&mut [0])?;
    if unread != 0 {
        return Err(io::Error::other("the peer has not closed its end"));
    }
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the kernel reads so many bytes of a number that lives through the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_QUICKACK, (&raw const on).cast(), length)
    };
    Errno::result(result)?;
    Ok(())
}

/// Attempts that a RST answers.
pub(super) struct Refused {
    address: SocketAddrV4,
}

impl Refused {
    pub(super) fn new() -> io::Result<Self> {
        // The discard service, which nobody runs in this namespace.
        let refused = Self { address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9) };
        refused.attempt()?;
        Ok(refused)
    }

    fn attempt(&self) -> io::Result<()> {
        match TcpStream::connect(self.address) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::other("a process listens on that port")),
        }
    }
}

impl Worker for Refused {
    fn operate(&mut self) -> io::Result<()> {
        self.attempt()
    }
}
