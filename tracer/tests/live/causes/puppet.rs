//! A host whose only network is a TUN device that the test holds: it plays all other hosts by hand.

use std::{
    fs::File,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use etherparse::{PacketBuilder, TcpHeader};
use socket2::Socket;
use tracer::{
    event::Flags,
    testbed::{host::Host, segment::Packet, tcp, tun},
};

use super::Played;
use crate::cable;

/// How long any one thing may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The host's address and those of its peers (TEST-NET-1, RFC 5737).
pub(crate) const HERE: &str = "192.0.2.2";
pub(crate) const PEER: &str = "192.0.2.1";
pub(crate) const OTHER: &str = "192.0.2.77";

/// Where the peer starts to count.
pub(crate) const ISN: u32 = 1_000_000;

pub(crate) const SYN: Flags = Flags::SYN;
pub(crate) const ACK: Flags = Flags::ACK;
pub(crate) const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
pub(crate) const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);

pub(crate) struct Puppet {
    pub(crate) host: Host,
    pub(crate) wire: File,
}

/// The peer's end of a connection: what it would send, and acknowledge, next.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) end: SocketAddr,
    pub(crate) host: SocketAddr,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) ttl: u8,
}

impl Peer {
    pub(crate) fn new(address: &str, end_port: u16, port: u16) -> Self {
        let at = |address: &str, port| SocketAddr::new(address.parse::<IpAddr>().expect("an address"), port);
        Self { end: at(address, end_port), host: at(HERE, port), seq: ISN, ack: 0, ttl: 64 }
    }

    /// The segment with a sequence number that many bytes further on.
    pub(crate) fn sent(self, bytes: u32) -> Self {
        Self { seq: self.seq + bytes, ..self }
    }

    pub(crate) fn heard(self, packet: &Packet) -> Self {
        let flags = packet.segment.flags;
        let bits = u32::from(flags.contains(Flags::SYN)) + u32::from(flags.contains(Flags::FIN));
        Self { ack: packet.segment.seq.wrapping_add(packet.segment.len + bits), ..self }
    }
}

impl Puppet {
    pub(crate) fn new(name: &'static str) -> anyhow::Result<Self> {
        let host = Host::new(name)?;
        let wire = host.run(|| tun::open(HERE.parse()?))?;
        Ok(Self { host, wire })
    }

    /// What the peer sends.
    pub(crate) fn send(&mut self, peer: Peer, flags: Flags, payload: &[u8]) -> anyhow::Result<()> {
        self.send_with(peer, flags, payload, &[])
    }

    pub(crate) fn send_with(&mut self, peer: Peer, flags: Flags, payload: &[u8], options: &[u8]) -> anyhow::Result<()> {
        let (IpAddr::V4(from), IpAddr::V4(to)) = (peer.end.ip(), peer.host.ip()) else { bail!("IPv4 only") };
        let mut header = TcpHeader::new(peer.end.port(), peer.host.port(), peer.seq, u16::MAX);
        header.syn = flags.contains(Flags::SYN);
        header.fin = flags.contains(Flags::FIN);
        header.rst = flags.contains(Flags::RST);
        header.ack = flags.contains(Flags::ACK);
        header.acknowledgment_number = peer.ack;
        header.set_options_raw(options)?;
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(from.octets(), to.octets(), peer.ttl).tcp_header(header).write(&mut bytes, payload)?;
        self.wire.write_all(&bytes).context("the host does not take a packet")
    }

    /// The next segment of the host's that is wanted; others are dropped.
    pub(crate) fn receive(&mut self, what: &str, wanted: impl Fn(&Packet) -> bool) -> anyhow::Result<Packet> {
        cable::next(&self.wire, TIMEOUT, what, wanted)
    }

    /// The host's next RST.
    pub(crate) fn receive_rst(&mut self) -> anyhow::Result<Packet> {
        self.receive("a RST", Packet::is_rst)
    }

    /// A listener of the host's.
    pub(crate) fn listen(&self, port: u16) -> anyhow::Result<Socket> {
        self.host.run(move || tcp::listening(SocketAddr::new(HERE.parse()?, port), TIMEOUT))
    }

    /// Sends the SYN, and takes the SYN+ACK; the last ACK is still to be sent.
    pub(crate) fn open(&mut self, peer: Peer) -> anyhow::Result<Peer> {
        self.send(peer, SYN, &[])?;
        let answer = self.receive("a SYN+ACK", |packet| packet.is_syn_ack() && packet.destination == peer.end)?;
        Ok(peer.sent(1).heard(&answer))
    }

    /// A whole handshake with a listener.
    pub(crate) fn establish(&mut self, listener: &Socket, peer: Peer) -> anyhow::Result<(Peer, Socket)> {
        let peer = self.open(peer)?;
        self.send(peer, ACK, &[])?;
        Ok((peer, tcp::accept(listener)?))
    }

    /// A socket of the host's that has sent its SYN, which is returned.
    pub(crate) fn connect(&mut self, peer: Peer) -> anyhow::Result<(Socket, Packet)> {
        let socket = self.host.run(move || tcp::connecting(peer.host, peer.end, TIMEOUT))?;
        let syn = self.receive("a SYN", Packet::is_syn)?;
        Ok((socket, syn))
    }

    /// Ready, with so many RSTs and these sockets.
    pub(crate) fn played(self, rsts: usize, sockets: Vec<Socket>) -> Played {
        let netns = vec![self.host.netns()];
        Played { netns, alive: vec![Box::new(self), Box::new(sockets)], rsts }
    }
}
