//! The peer behind a host's only network card, played by hand: it says what no kernel would.

use std::{
    fs::File,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use etherparse::{PacketBuilder, TcpHeader};
use socket2::Socket;
use tracer::{
    event::{Flags, Segment, TcpState},
    testbed::{host::Host, segment::Packet, tcp, tun},
};

use crate::{cable, wait::until};

/// Enough for an emulated machine.
pub(in super::super) const TIMEOUT: Duration = Duration::from_secs(10);

/// The host and its peer (RFC 5737).
const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const THERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PORT: u16 = 80;
/// Sequence number of the peer's SYN.
const ISN: u32 = 7000;

/// Both of a set of control bits.
pub(in super::super) const fn both(one: Flags, other: Flags) -> Flags {
    Flags(one.0 | other.0)
}

/// The peer.
pub(in super::super) struct Hand {
    device: File,
}

/// A connection.
pub(in super::super) struct Line {
    /// The host's end.
    pub(in super::super) socket: Socket,
    /// The peer's.
    pub(in super::super) far: Far,
}

/// A connection, as the peer sees it.
#[derive(Clone, Copy)]
pub(in super::super) struct Far {
    /// The host's.
    port: u16,
    /// What the peer sends next.
    pub(in super::super) seq: u32,
    /// What the peer expects next.
    ack: u32,
}

impl Far {
    /// The segment after so many more bytes have been received.
    pub(in super::super) fn heard(self, bytes: u32) -> Self {
        Self { ack: self.ack.wrapping_add(bytes), ..self }
    }
}

impl Hand {
    /// A host with this name, and its peer.
    pub(in super::super) fn with(name: &'static str) -> anyhow::Result<(Host, Self)> {
        let host = Host::new(name)?;
        let device = host.run(|| tun::open(HERE.into()))?;
        Ok((host, Self { device }))
    }

    /// Starts to connect and returns when the SYN has come; the peer's first sequence number is chosen.
    pub(in super::super) fn called(&self, host: &Host) -> anyhow::Result<Line> {
        let (here, there) = (SocketAddr::new(IpAddr::V4(HERE), 0), SocketAddr::new(IpAddr::V4(THERE), PORT));
        let socket = host.run(move || tcp::connecting(here, there, TIMEOUT))?;
        let port = socket.local_addr()?.as_socket().context("an IP socket")?.port();
        let mut far = Far { port, seq: ISN, ack: 0 };
        let syn = self.hear(far, Flags::SYN)?;
        ensure!(!syn.flags.contains(Flags::ACK), "a SYN came first");
        far.ack = syn.seq.wrapping_add(1);
        Ok(Line { socket, far })
    }

    /// A connection that is established; the peer takes no more than `window` bytes.
    pub(in super::super) fn connected(&self, host: &Host, window: u16) -> anyhow::Result<Line> {
        let mut line = self.called(host)?;
        self.say_window(line.far, both(Flags::SYN, Flags::ACK), 0, window)?;
        line.far.seq += 1;
        self.hear(line.far, Flags::ACK)?;
        tcp::connected(&line.socket)??;
        Ok(line)
    }

    /// The socket's FIN is acknowledged, so that it waits for the peer's; it has been shut down.
    pub(in super::super) fn finished(&self, line: &mut Line) -> anyhow::Result<()> {
        self.hear_fin(&mut line.far)?;
        self.say(line.far, Flags::ACK, 0)?;
        until("FIN_WAIT2", || Ok(tcp::state(&line.socket)? == TcpState::FIN_WAIT2))
    }

    /// Waits for the socket's FIN, and takes it.
    pub(in super::super) fn hear_fin(&self, far: &mut Far) -> anyhow::Result<()> {
        let fin = self.hear(*far, Flags::FIN)?;
        far.ack = fin.seq.wrapping_add(fin.len).wrapping_add(1);
        Ok(())
    }

    /// Says a segment, so far from the sequence number that is next.
    pub(in super::super) fn say(&self, far: Far, flags: Flags, offset: u32) -> anyhow::Result<()> {
        self.say_window(far, flags, offset, u16::MAX)
    }

    /// Says data, as the next segment.
    pub(in super::super) fn tell(&self, far: Far, data: &[u8]) -> anyhow::Result<()> {
        self.send(far, Flags::ACK, 0, u16::MAX, data)
    }

    /// Says a segment, and how much more the peer takes.
    pub(in super::super) fn say_window(&self, far: Far, flags: Flags, offset: u32, window: u16) -> anyhow::Result<()> {
        self.send(far, flags, offset, window, &[])
    }

    fn send(&self, far: Far, flags: Flags, offset: u32, window: u16, data: &[u8]) -> anyhow::Result<()> {
        let ip = PacketBuilder::ipv4(THERE.octets(), HERE.octets(), 64);
        let mut header = TcpHeader::new(PORT, far.port, far.seq.wrapping_add(offset), window);
        header.syn = flags.contains(Flags::SYN);
        header.fin = flags.contains(Flags::FIN);
        header.rst = flags.contains(Flags::RST);
        header.ack = flags.contains(Flags::ACK);
        header.acknowledgment_number = if header.ack { far.ack } else { 0 };
        let mut packet = Vec::new();
        ip.tcp_header(header).write(&mut packet, data)?;
        (&self.device).write_all(&packet).context("the device takes no segment")
    }

    /// The next segment of the connection that has all of `flags`.
    pub(in super::super) fn hear(&self, far: Far, flags: Flags) -> anyhow::Result<Segment> {
        let is_it = |packet: &Packet| packet.source.port() == far.port && packet.segment.flags.contains(flags);
        Ok(cable::next(&self.device, TIMEOUT, &flags.to_string(), is_it)?.segment)
    }
}
