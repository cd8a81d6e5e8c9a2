//! Traffic over connections that stay open: nothing happens that a tracer of state changes would report.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
};

use super::worker::Worker;

const BLOCK: usize = 64 << 10;
const MESSAGE: usize = 64;

fn connection() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

/// As much as goes through; the other end's thread ends when this end is closed.
pub(super) struct Bulk {
    client: TcpStream,
    block: Vec<u8>,
}

impl Bulk {
    pub(super) fn new() -> io::Result<Self> {
        let (client, mut server) = connection()?;
        thread::spawn(move || {
            let mut block = vec![0; BLOCK];
            while server.read(&mut block).is_ok_and(|length| length > 0) {}
        });
        Ok(Self { client, block: vec![0; BLOCK] })
    }
}

impl Worker for Bulk {
    fn operate(&mut self) -> io::Result<()> {
        self.client.write_all(&self.block)
    }
}

/// There and back, both ends in one thread: no time goes into waking somebody up.
pub(super) struct Exchange {
    client: TcpStream,
    server: TcpStream,
}

impl Exchange {
    pub(super) fn new() -> io::Result<Self> {
        let (client, server) = connection()?;
        Ok(Self { client, server })
    }
}

impl Worker for Exchange {
    fn operate(&mut self) -> io::Result<()> {
        let mut message = [0; MESSAGE];
        self.client.write_all(&message)?;
        self.server.read_exact(&mut message)?;
        self.server.write_all(&message)?;
        self.client.read_exact(&mut message)
    }
}
