//! Answers to a SYN that do not fit it.

use anyhow::Context;
use etherparse::{TcpOptionElement, TcpOptions, TcpSlice};
use tracer::testbed::segment::Packet;

use super::super::{
    Played,
    puppet::{ACK, PEER, Peer, Puppet, SYN, SYN_ACK},
};

/// The peer still has a connection with that port, and says where that is (RFC 9293, section 3.5.1).
pub(super) fn acknowledges_another() -> anyhow::Result<Played> {
    let mut net = Puppet::new("oldconnection")?;
    let peer = Peer::new(PEER, 80, 47301);
    let (socket, syn) = net.connect(peer)?;
    let peer = peer.heard(&syn);
    net.send(Peer { ack: peer.ack.wrapping_sub(100_000), ..peer }, ACK, &[])?;
    net.receive_rst()?;
    Ok(net.played(1, vec![socket]))
}

/// The SYN+ACK echoes a timestamp from the future.
pub(super) fn echoes_another() -> anyhow::Result<Played> {
    let mut net = Puppet::new("paws")?;
    let peer = Peer::new(PEER, 80, 47302);
    let (socket, syn) = net.connect(peer)?;
    let sent = timestamp(&syn).context("the SYN has no timestamp")?;
    let echo = TcpOptionElement::Timestamp(1, sent.wrapping_add(1 << 30));
    let options = TcpOptions::try_from_elements(&[echo])?;
    net.send_with(peer.heard(&syn), SYN_ACK, &[], options.as_slice())?;
    net.receive_rst()?;
    Ok(net.played(1, vec![socket]))
}

fn timestamp(packet: &Packet) -> Option<u32> {
    let header = etherparse::SlicedPacket::from_ip(&packet.bytes).ok()?;
    let Some(etherparse::TransportSlice::Tcp(tcp)) = header.transport else { return None };
    let tcp: TcpSlice<'_> = tcp;
    tcp.options_iterator().flatten().find_map(|option| match option {
        TcpOptionElement::Timestamp(value, _) => Some(value),
        _ => None,
    })
}

/// SYNs crossed, so a full socket is in SYN_RECV: a listener would answer by itself.
pub(super) fn bad_last_ack() -> anyhow::Result<Played> {
    let mut net = Puppet::new("badlastack")?;
    let peer = Peer::new(PEER, 80, 47303);
    let (socket, syn) = net.connect(peer)?;
    net.send(peer, SYN, &[])?;
    net.receive("a SYN+ACK", Packet::is_syn_ack)?;
    let peer = peer.sent(1).heard(&syn);
    net.send(Peer { ack: peer.ack.wrapping_add(1000), ..peer }, ACK, &[])?;
    net.receive_rst()?;
    Ok(net.played(1, vec![socket]))
}
