//! A router between two hosts, played by the test, that translates addresses: no kernel has to have NAT for it.

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use anyhow::Context as _;
use etherparse::{Ipv4Header, TcpHeader};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracer::testbed::{host::Host, tun};

/// The client's host and the server's (TEST-NET-1, RFC 5737).
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);
/// As whom the server sees the client where its address is translated, too.
const GATEWAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 61000);
/// Where the client finds the server.
pub(super) const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 100), 9000);
/// Where the server is.
pub(super) const BEHIND: SocketAddrV4 = SocketAddrV4::new(SERVER, 8080);
/// Where it is not: no host has a listener with this port.
pub(super) const NOBODY: SocketAddrV4 = SocketAddrV4::new(SERVER, 8081);

/// How long the thread may take to see that it is to end, in milliseconds.
const TICK: u8 = 100;

/// The hosts, and what is between them.
pub(super) struct Router {
    pub(super) client: Host,
    pub(super) server: Host,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// Where the service is.
    behind: SocketAddrV4,
    /// The client's address is translated, too.
    both: bool,
    /// The translation is lost: segments pass as they are.
    has_forgotten: AtomicBool,
    is_over: AtomicBool,
}

impl Router {
    /// Two hosts with these names. `both`: the client's address is translated, too.
    pub(super) fn between(names: [&'static str; 2], behind: SocketAddrV4, both: bool) -> anyhow::Result<Self> {
        let [client, server] = names;
        let (client, server) = (Host::new(client)?, Host::new(server)?);
        let wires = [client.run(|| tun::open(IpAddr::V4(CLIENT)))?, server.run(|| tun::open(IpAddr::V4(SERVER)))?];
        let shared = Arc::new(Shared { behind, both, has_forgotten: false.into(), is_over: false.into() });
        let own = shared.clone();
        let thread = std::thread::spawn(move || own.carry(&wires).expect("the router works"));
        Ok(Self { client, server, shared, thread: Some(thread) })
    }

    /// From now on nothing is translated.
    pub(super) fn forget(&self) {
        self.shared.has_forgotten.store(true, Ordering::Relaxed);
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has failed the test already.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn carry(&self, wires: &[File; 2]) -> anyhow::Result<()> {
        let mut buffer = [0; 1 << 16];
        let mut client_port = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let [one, other] = wires;
            let mut ready = [one, other].map(|wire| PollFd::new(wire.as_fd(), PollFlags::POLLIN));
            poll(&mut ready, PollTimeout::from(TICK))?;
            for (from, mut wire) in wires.iter().enumerate() {
                loop {
                    match wire.read(&mut buffer) {
                        Ok(len) => {
                            if let Some(packet) = self.translated(&buffer[..len], from == 0, &mut client_port) {
                                (&wires[1 - from]).write_all(&packet).context("the other host takes no packet")?;
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error).context("a host's packets cannot be read"),
                    }
                }
            }
        }
        Ok(())
    }

    /// The packet as it goes on; none for what is no TCP segment over IPv4.
    fn translated(&self, packet: &[u8], of_client: bool, client_port: &mut u16) -> Option<Vec<u8>> {
        let (mut ip, rest) = Ipv4Header::from_slice(packet).ok()?;
        let (mut tcp, payload) = TcpHeader::from_slice(rest).ok()?;
        let mut source = SocketAddrV4::new(ip.source.into(), tcp.source_port);
        let mut destination = SocketAddrV4::new(ip.destination.into(), tcp.destination_port);
        if !self.has_forgotten.load(Ordering::Relaxed) {
            if of_client && destination == SERVICE {
                *client_port = source.port();
                destination = self.behind;
                source = if self.both { GATEWAY } else { source };
            } else if !of_client && source == self.behind {
                source = SERVICE;
                destination = SocketAddrV4::new(CLIENT, *client_port);
            }
        }
        (ip.source, tcp.source_port) = (source.ip().octets(), source.port());
        (ip.destination, tcp.destination_port) = (destination.ip().octets(), destination.port());
        tcp.checksum = tcp.calc_checksum_ipv4(&ip, payload).ok()?;
        let mut bytes = Vec::with_capacity(packet.len());
        ip.write(&mut bytes).ok()?;
        tcp.write(&mut bytes).ok()?;
        bytes.extend_from_slice(payload);
        Some(bytes)
    }
}
