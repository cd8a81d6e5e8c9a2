//! The TCP segment in an `sk_buff`.

use tracer_ebpf::record::{AF_INET, AF_INET6, Segment};

use crate::{
    offset,
    sock::{Access, Address, Identity, Object, probe_read},
};

const IPPROTO_TCP: u8 = 6;
const IPV6_HEADER: u16 = 40;
const RST: u16 = 4;

/// Addresses, ports and TCP fields of a packet.
pub(crate) struct Packet {
    pub(crate) family: u16,
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) segment: Segment,
}

/// No segment.
pub(crate) const NONE: Segment =
    Segment { seq: 0, ack: 0, len: 0, flags: 0, window: 0, ttl: 0, ip_version: 0, ip_id: 0 };

/// `struct iphdr`, `struct ipv6hdr`, `struct tcphdr` as words in network order.
type Ipv4Header = [u32; 5];
type Ipv6Header = [u32; 10];
type TcpHeader = [u32; 5];

/// Reads a packet whose transport header is set (received by TCP).
#[inline(always)]
pub(crate) fn received<A: Access>(skb: Object<A>) -> Option<Packet> {
    let transport = skb.get::<u16>(&offset::SKB_TRANSPORT)?;
    parse(skb, Some(transport))
}

/// Reads a packet that may be anything and has no trustworthy transport header (about to be sent).
#[inline(always)]
pub(crate) fn outgoing<A: Access>(skb: Object<A>) -> Option<Packet> {
    parse(skb, None)
}

#[inline(always)]
fn parse<A: Access>(skb: Object<A>, transport: Option<u16>) -> Option<Packet> {
    let head = skb.get::<u64>(&offset::SKB_HEAD)?;
    let network = skb.get::<u16>(&offset::SKB_NETWORK)?;
    let ip = head + u64::from(network);
    let version: u8 = probe_read(ip as *const u8);
    if version >> 4 == 4 {
        let header: Ipv4Header = probe_read(ip as *const u8);
        let time_to_live_and_protocol = u32::from_be(header[2]);
        if (time_to_live_and_protocol >> 16) as u8 != IPPROTO_TCP {
            return None;
        }
        let transport = transport.unwrap_or(network.wrapping_add(u16::from(version & 15) * 4));
        let total = u32::from_be(header[0]) & 0xffff;
        let mut packet = tcp(head, network, transport, total, (time_to_live_and_protocol >> 24) as u8);
        packet.family = AF_INET;
        packet.segment.ip_version = 4;
        packet.segment.ip_id = (u32::from_be(header[1]) >> 16) as u16;
        packet.source = [u64::from(header[3]), 0];
        packet.destination = [u64::from(header[4]), 0];
        Some(packet)
    } else if version >> 4 == 6 {
        let header: Ipv6Header = probe_read(ip as *const u8);
        let length_next_hops = u32::from_be(header[1]);
        // A received segment may have extension headers; TCP has already found its own.
        if transport.is_none() && (length_next_hops >> 8) as u8 != IPPROTO_TCP {
            return None;
        }
        let transport = transport.unwrap_or(network.wrapping_add(IPV6_HEADER));
        let total = (length_next_hops >> 16) + u32::from(IPV6_HEADER);
        let mut packet = tcp(head, network, transport, total, length_next_hops as u8);
        packet.family = AF_INET6;
        packet.source = pair(header[2], header[3], header[4], header[5]);
        packet.destination = pair(header[6], header[7], header[8], header[9]);
        Some(packet)
    } else {
        None
    }
}

/// Four words in memory order as two.
#[inline(always)]
fn pair(a: u32, b: u32, c: u32, d: u32) -> Address {
    [u64::from(a) | u64::from(b) << 32, u64::from(c) | u64::from(d) << 32]
}

/// Reads the TCP header; `total` is the packet's length from the network header on.
#[inline(always)]
fn tcp(head: u64, network: u16, transport: u16, total: u32, ttl: u8) -> Packet {
    let header: TcpHeader = probe_read((head + u64::from(transport)) as *const u8);
    let ports = u32::from_be(header[0]);
    let control = u32::from_be(header[3]);
    let headers = u32::from(transport.wrapping_sub(network)) + (control >> 28) * 4;
    Packet {
        family: 0,
        source: [0; 2],
        destination: [0; 2],
        source_port: (ports >> 16) as u16,
        destination_port: ports as u16,
        segment: Segment {
            seq: u32::from_be(header[1]),
            ack: u32::from_be(header[2]),
            len: total.saturating_sub(headers),
            flags: (control >> 16) as u16 & 0x1ff,
            window: control as u16,
            ttl,
            ip_version: 6,
            ip_id: 0,
        },
    }
}

impl Packet {
    /// Its two ends, as its receiver sees them.
    #[inline(always)]
    pub(crate) fn ends(&self) -> Identity {
        Identity {
            family: self.family,
            local: self.destination,
            remote: self.source,
            local_port: self.destination_port,
            remote_port: self.source_port,
        }
    }

    /// The segment is a RST.
    #[inline(always)]
    pub(crate) fn is_rst(&self) -> bool {
        self.segment.flags & RST != 0
    }

    /// The kernel's own conditions for not answering a segment with a RST, for hooks at the entry of
    /// `tcp_v{4,6}_send_reset`, which is called all the same (net/ipv4/tcp_ipv4.c, net/ipv6/tcp_ipv6.c):
    /// the segment is a RST, or there is no socket and it was not for this host.
    #[inline(always)]
    pub(crate) fn goes_unanswered<A: Access>(&self, skb: Object<A>, has_socket: bool) -> bool {
        const SKB_DST_PTRMASK: u64 = !7;
        const RTN_LOCAL: u16 = 2;
        const RTF_LOCAL: u32 = 0x8000_0000;

        if self.is_rst() {
            return true;
        }
        if has_socket {
            return false;
        }
        let Some(dst) = skb.get::<u64>(&offset::SKB_DST) else { return false };
        let dst = Object::<crate::sock::Probed>::new((dst & SKB_DST_PTRMASK) as *const u8);
        if self.family == AF_INET {
            dst.get::<u16>(&offset::RT_TYPE).is_some_and(|kind| kind != RTN_LOCAL)
        } else {
            dst.get::<u32>(&offset::RT6_FLAGS).is_some_and(|flags| flags & RTF_LOCAL == 0)
        }
    }
}
