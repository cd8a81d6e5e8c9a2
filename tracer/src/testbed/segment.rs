//! TCP segments as they travel: the bytes of an IP packet, and what its headers say.

use std::net::{IpAddr, SocketAddr};

use etherparse::{NetSlice, SlicedPacket, TcpSlice, TransportSlice};

use crate::event::{Flags, Segment};

/// SYN and ACK, the second segment of a handshake.
pub const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);

/// One TCP segment in its IP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The sender's address and port.
    pub source: SocketAddr,
    /// Where it is going.
    pub destination: SocketAddr,
    /// The TCP header's fields.
    pub segment: Segment,
    /// The IP packet from its first header byte to its last payload byte.
    pub bytes: Vec<u8>,
}

impl Packet {
    /// Parses an IPv4 or IPv6 packet; `None` unless it carries a whole TCP header.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let sliced = SlicedPacket::from_ip(bytes).ok()?;
        let (source, destination, ttl, ip_id): (IpAddr, IpAddr, u8, Option<u16>) = match sliced.net? {
            NetSlice::Ipv4(ip) => {
                let header = ip.header();
                (
                    header.source_addr().into(),
                    header.destination_addr().into(),
                    header.ttl(),
                    Some(header.identification()),
                )
            }
            NetSlice::Ipv6(ip) => {
                let header = ip.header();
                (header.source_addr().into(), header.destination_addr().into(), header.hop_limit(), None)
            }
            NetSlice::Arp(_) => return None,
        };
        let TransportSlice::Tcp(tcp) = sliced.transport? else { return None };
        let source = SocketAddr::new(source, tcp.source_port());
        let destination = SocketAddr::new(destination, tcp.destination_port());
        let segment = segment_of(&tcp, ttl, ip_id);
        Some(Self { source, destination, segment, bytes: bytes.to_vec() })
    }

    /// Carries what `earlier` carried; control bits and options may differ.
    pub fn repeats(&self, earlier: &Self) -> bool {
        let content = |packet: &Self| (packet.source, packet.destination, packet.segment.seq, packet.segment.len);
        content(self) == content(earlier)
    }

    /// Opens a connection: SYN without ACK.
    pub fn is_syn(&self) -> bool {
        self.segment.flags.contains(Flags::SYN) && !self.segment.flags.contains(Flags::ACK)
    }

    /// Accepts a connection: SYN and ACK.
    pub fn is_syn_ack(&self) -> bool {
        self.segment.flags.contains(SYN_ACK)
    }

    /// Resets a connection.
    pub fn is_rst(&self) -> bool {
        self.segment.flags.contains(Flags::RST)
    }
}

/// The fields of a TCP header that came in a packet with this TTL or hop limit, and this identification.
pub fn segment_of(tcp: &TcpSlice<'_>, ttl: u8, ip_id: Option<u16>) -> Segment {
    let header = tcp.header_slice();
    Segment {
        // Data offset, reserved bits and control bits share bytes 12 and 13 (RFC 9293 section 3.1);
        // the lowest of the once reserved bits is AE (RFC 9768).
        flags: Flags(u16::from_be_bytes([header[12] & 1, header[13]])),
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        len: u32::try_from(tcp.payload().len()).unwrap_or(u32::MAX),
        ttl,
        window: tcp.window_size(),
        ip_id,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    #[test]
    fn reads_the_headers() {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 61).tcp(1000, 80, 7, 512).ack(9).psh();
        builder.write(&mut bytes, b"data").unwrap();
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.source, "10.0.0.1:1000".parse().unwrap());
        assert_eq!(packet.destination, "10.0.0.2:80".parse().unwrap());
        assert_eq!(
            packet.segment,
            Segment { flags: Flags(0x18), seq: 7, ack: 9, len: 4, ttl: 61, window: 512, ip_id: Some(0) }
        );
    }

    #[test]
    fn a_retransmission_repeats_whatever_its_flags() {
        let syn = |seq, flags| {
            let (source, destination) = ("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
            let segment = Segment { flags, seq, ack: 0, len: 0, ttl: 64, window: 0, ip_id: None };
            Packet { source, destination, segment, bytes: Vec::new() }
        };
        assert!(syn(7, Flags::SYN).repeats(&syn(7, Flags(0xc2))));
        assert!(!syn(8, Flags::SYN).repeats(&syn(7, Flags::SYN)));
    }

    #[test]
    fn refuses_what_is_not_tcp() {
        let mut bytes = Vec::new();
        PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(1, 2).write(&mut bytes, b"data").unwrap();
        assert_eq!(Packet::parse(&bytes), None);
        assert_eq!(Packet::parse(&[0x45, 0]), None);
        assert_eq!(Packet::parse(&[]), None);
    }
}
