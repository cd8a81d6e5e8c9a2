//! Connections, and attempts, that die without a RST. All clocks run at once.

use std::{fs, io::Write as _, time::Duration};

use anyhow::Context as _;
use etherparse::{Icmpv4Type, PacketBuilder, icmpv4::DestUnreachableHeader};
use tracer::demo::tcp;

use super::{
    Played, Scenario,
    aborts::destroy,
    puppet::{HERE, PEER, Peer, Puppet},
};

pub(super) const ALL: &[Scenario] = &[
    Scenario::death("no_answer", unanswered),
    Scenario::death("user_timeout", user_timeout),
    Scenario::death("retransmission_timeout", retransmissions),
    Scenario::death("unreachable", unreachable),
    Scenario::death("destroyed_unopened", destroyed_unopened),
];

/// The limit ends it when the SYN was to be sent again, after a second.
fn unanswered() -> anyhow::Result<Played> {
    let mut net = Puppet::new("unanswered")?;
    let (socket, _) = net.connect(Peer::new(PEER, 80, 47301))?;
    socket.set_tcp_user_timeout(Some(Duration::from_millis(500)))?;
    Ok(net.played(1, vec![socket]))
}

fn user_timeout() -> anyhow::Result<Played> {
    let mut net = Puppet::new("usertimeout")?;
    let listener = net.listen(47302)?;
    let (_, socket) = net.establish(&listener, Peer::new(PEER, 4302, 47302))?;
    socket.set_tcp_user_timeout(Some(Duration::from_millis(100)))?;
    tcp::say(&socket, b"hello?")?;
    Ok(net.played(1, vec![listener, socket]))
}

fn retransmissions() -> anyhow::Result<Played> {
    // This namespace's own.
    const RETRIES: &str = "/proc/sys/net/ipv4/tcp_retries2";
    let mut net = Puppet::new("retries")?;
    net.host.run(|| Ok(fs::write(RETRIES, "1")?))?;
    let listener = net.listen(47303)?;
    let (_, socket) = net.establish(&listener, Peer::new(PEER, 4303, 47303))?;
    tcp::say(&socket, b"hello?")?;
    Ok(net.played(1, vec![listener, socket]))
}

/// A router has no way to the peer (RFC 792).
fn unreachable() -> anyhow::Result<Played> {
    /// Of the packet that it is about: the IP header, and the first 8 bytes of what that carries.
    const QUOTED: usize = 20 + 8;
    let mut net = Puppet::new("unreachable")?;
    let (socket, syn) = net.connect(Peer::new(PEER, 80, 47304))?;
    let octets = |address: &str| address.parse::<std::net::Ipv4Addr>().map(|address| address.octets());
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(octets(PEER)?, octets(HERE)?, 64)
        .icmpv4(Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Host))
        .write(&mut bytes, syn.bytes.get(..QUOTED).context("a SYN has headers")?)?;
    net.wire.write_all(&bytes)?;
    Ok(net.played(1, vec![socket]))
}

fn destroyed_unopened() -> anyhow::Result<Played> {
    let mut net = Puppet::new("unopened")?;
    let peer = Peer::new(PEER, 80, 47305);
    let (socket, _) = net.connect(peer)?;
    net.host.run(move || destroy(peer.host, peer.end))?;
    Ok(net.played(1, vec![socket]))
}
