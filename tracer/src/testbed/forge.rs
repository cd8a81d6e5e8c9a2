//! A TCP endpoint played by hand through a raw socket: the kernel sends and receives its segments,
//! but has no connection for them.

use std::{
    io,
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use anyhow::{Context as _, bail};
use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader, TcpOptionElement, TcpSlice};
use socket2::{Domain, Protocol, Socket, Type};

use crate::event::{Flags, Segment};
use crate::testbed::segment::{Packet, segment_of};

/// TTL and hop limit of what is sent, Linux's own default.
const TTL: u8 = 64;
/// The window that is offered: the largest without scaling.
const WINDOW: u16 = u16::MAX;
/// The maximum segment size that a SYN offers: fits a TUN device's 1500 bytes over IPv6.
const MSS: u16 = 1440;

/// A raw socket that plays the TCP endpoint `local` towards `remote`.
#[derive(Debug)]
pub struct Forger {
    socket: Socket,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Forger {
    /// Opens the raw socket in the calling thread's namespace.
    ///
    /// Over IPv4 it writes the IP header too (`IP_HDRINCL`); over IPv6 the kernel does.
    ///
    /// # Errors
    /// Raw sockets need `CAP_NET_RAW`.
    pub fn open(local: SocketAddr, remote: SocketAddr) -> anyhow::Result<Self> {
        let socket = Socket::new(Domain::for_address(local), Type::RAW, Some(Protocol::TCP))
            .context("cannot open a raw socket (this needs CAP_NET_RAW: run as root)")?;
        if local.is_ipv4() {
            socket.set_header_included_v4(true)?;
        }
        socket.bind(&without_port(local).into()).context("cannot bind the raw socket")?;
        Ok(Self { socket, local, remote })
    }

    /// Sends one segment; `ack` is sent only with [`Flags::ACK`] set.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub fn send(&self, flags: Flags, seq: u32, ack: u32, payload: &[u8]) -> anyhow::Result<()> {
        let bytes = self.build(flags, seq, ack, payload)?;
        let sent = self.socket.send_to(&bytes, &without_port(self.remote).into());
        sent.with_context(|| format!("cannot send a {flags} through the raw socket")).map(drop)
    }

    /// The next segment from the peer with all of `flags`.
    ///
    /// # Errors
    /// None came by `deadline`.
    pub fn receive(&self, flags: Flags, deadline: Instant) -> anyhow::Result<Segment> {
        let mut buffer = [MaybeUninit::uninit(); 2048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the raw socket waited too long for a {flags}");
            }
            self.socket.set_read_timeout(Some(left))?;
            let (len, from) = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                // Out of time (the check above says so) or a signal.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    continue;
                }
                Err(error) => return Err(error).context("cannot receive through the raw socket"),
            };
            // SAFETY: recv_from has initialized the first `len` bytes.
            let bytes: Vec<u8> = buffer[..len].iter().map(|byte| unsafe { byte.assume_init() }).collect();
            if let Some(segment) = self.parse(&bytes, from.as_socket().map(|from| from.ip()))
                && segment.flags.contains(flags)
            {
                return Ok(segment);
            }
        }
    }

    fn build(&self, flags: Flags, seq: u32, ack: u32, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut header = TcpHeader::new(self.local.port(), self.remote.port(), seq, WINDOW);
        header.syn = flags.contains(Flags::SYN);
        header.fin = flags.contains(Flags::FIN);
        header.rst = flags.contains(Flags::RST);
        header.ack = flags.contains(Flags::ACK);
        header.psh = !payload.is_empty();
        header.acknowledgment_number = if header.ack { ack } else { 0 };
        if header.syn {
            header.set_options(&[TcpOptionElement::MaximumSegmentSize(MSS)]).context("cannot set a TCP option")?;
        }
        let mut bytes = Vec::new();
        match (self.local.ip(), self.remote.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let step: PacketBuilderStep<TcpHeader> =
                    PacketBuilder::ipv4(from.octets(), to.octets(), TTL).tcp_header(header);
                step.write(&mut bytes, payload)?;
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                header.checksum = header.calc_checksum_ipv6_raw(from.octets(), to.octets(), payload)?;
                header.write(&mut bytes)?;
                bytes.extend_from_slice(payload);
            }
            _ => bail!("{} and {} are of different address families", self.local, self.remote),
        }
        Ok(bytes)
    }

    /// A raw socket gets all TCP of the namespace: only what belongs to this connection is returned.
    /// It comes with the IP header over IPv4 and without over IPv6.
    fn parse(&self, bytes: &[u8], from: Option<IpAddr>) -> Option<Segment> {
        if self.local.is_ipv4() {
            let packet = Packet::parse(bytes)?;
            return (packet.source == self.remote && packet.destination == self.local).then_some(packet.segment);
        }
        let tcp = TcpSlice::from_slice(bytes).ok()?;
        let ours = from == Some(self.remote.ip())
            && (tcp.source_port(), tcp.destination_port()) == (self.remote.port(), self.local.port());
        ours.then(|| segment_of(&tcp, TTL, None))
    }
}

/// A raw socket's address: where others have a port, it has the protocol number or zero.
fn without_port(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), 0)
}

#[cfg(test)]
mod tests {
    use std::{io::Read, time::Duration};

    use super::*;
    use crate::{
        event::TcpState,
        testbed::{capture::Tap, filter, host::Host, tcp, wire::Wire},
    };

    const TIMEOUT: Duration = Duration::from_secs(2);

    /// A forged handshake; returns the forger's RST counter, those dropped, and those on the wire.
    fn handshake(forger: &str, server: &str, filtered: bool) -> anyhow::Result<(u64, u64, usize)> {
        let [local, remote]: [SocketAddr; 2] = [forger.parse()?, server.parse()?];
        let (forger, server) = (Host::new("forger")?, Host::new("server")?);
        let tap = Tap::open(&forger)?;
        let wire = Wire::join([(&forger, local.ip()), (&server, remote.ip())])?;
        let deadline = Instant::now() + TIMEOUT;
        let listener = server.run(move || tcp::listening(remote, TIMEOUT))?;
        if filtered {
            forger.run(filter::drop_outgoing_rst)?;
        }
        let (raw, answer) = forger.run(move || {
            let raw = Forger::open(local, remote)?;
            raw.send(Flags::SYN, 1000, 0, &[])?;
            let answer = raw.receive(Flags::SYN, deadline)?;
            Ok((raw, answer))
        })?;
        assert_eq!((answer.flags.contains(Flags::ACK), answer.ack), (true, 1001));
        // Open to the end: closing it sends a FIN, which the forger's kernel would answer too.
        let mut accepted = None;
        if filtered {
            let next = answer.seq.wrapping_add(1);
            let raw = forger.run(move || {
                raw.send(Flags::ACK, 1001, next, &[])?;
                raw.send(Flags::ACK, 1001, next, b"forged")?;
                Ok(raw)
            })?;
            accepted = Some(server.run(move || {
                let mut socket = tcp::accept(&listener)?;
                let mut read = [0; 6];
                socket.read_exact(&mut read)?;
                assert_eq!(&read, b"forged");
                assert_eq!(tcp::state(&socket)?, TcpState::ESTABLISHED);
                Ok(socket)
            })?);
            wire.wait_delivered("the acknowledgement", deadline, |packet| packet.segment.ack == 1007)?;
            drop(raw);
        } else {
            wire.wait_delivered("the RST", deadline, |packet| packet.segment.flags.contains(Flags::RST))?;
        }
        let dropped = if filtered { forger.run(filter::dropped)? } else { 0 };
        let sent = tap.read()?;
        assert_eq!(sent.dropped, 0);
        let on_wire = sent.frames.iter().filter(|frame| frame.packet.segment.flags.contains(Flags::RST)).count();
        let out_rsts = forger.out_rsts()?;
        drop(accepted);
        Ok((out_rsts, dropped, on_wire))
    }

    #[test]
    #[ignore = "needs root"]
    fn the_kernel_resets_a_forged_handshake() {
        assert_eq!(handshake("10.115.20.30:1234", "10.115.20.40:80", false).unwrap(), (1, 0, 1));
        let six = handshake("[2001:db8::30]:1234", "[2001:db8::40]:80", false);
        assert_eq!(six.unwrap(), (1, 0, 1));
    }

    #[test]
    #[ignore = "needs root"]
    fn a_filter_lets_a_forged_handshake_complete() {
        assert_eq!(handshake("10.115.20.30:1234", "10.115.20.40:80", true).unwrap(), (2, 2, 0));
        let six = handshake("[2001:db8::30]:1234", "[2001:db8::40]:80", true);
        assert_eq!(six.unwrap(), (2, 2, 0));
    }
}
