//! Connections that are made only to be closed.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
};

use nix::sys::socket::{setsockopt, sockopt};

use super::driver::Worker;

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

    /// Another address each time, so that the ports that TIME_WAIT keeps are not in the way.
    fn next_address(&mut self) -> SocketAddrV4 {
        self.turn = (self.turn + 1) % 0xffff;
        let [.., high, low] = (self.turn + 1).to_be_bytes();
        SocketAddrV4::new(Ipv4Addr::new(127, 1, high, low), self.port)
    }
}

impl Worker for Churn {
    fn operate(&mut self) -> io::Result<()> {
        let client = TcpStream::connect(self.next_address())?;
        let (server, _) = self.listener.accept()?;
        if let Close::Rst = self.close {
            setsockopt(&client, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
        }
        drop(client);
        drop(server);
        Ok(())
    }
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
