//! Connections, and attempts, that die without a RST. All clocks run at once.

use std::{fs, io::Write as _, net::TcpStream, time::Duration};

use anyhow::Context as _;
use etherparse::{Icmpv4Type, PacketBuilder, icmpv4::DestUnreachableHeader};
use tracer::{
    event::Flags,
    testbed::{host::Host, segment::Packet, tcp},
};

use super::{
    Played, Scenario,
    aborts::destroy,
    peers::{self, hand::Hand},
    puppet::{HERE, PEER, Peer, Puppet},
};
use crate::report;

pub(super) const ALL: &[Scenario] = &[
    Scenario::death("no_answer", unanswered),
    Scenario::death("connect_abandoned", abandoned),
    Scenario::death("connect_abandoned", killed_waiting),
    Scenario::death("zero_window", never_read),
    Scenario::death("zero_window", never_read_after_close),
    Scenario::death("user_timeout", closed_window_and_gone),
    Scenario::death("user_timeout", user_timeout),
    Scenario::death("retransmission_timeout", retransmissions),
    Scenario::death("unreachable", unreachable),
    Scenario::death("destroyed_unopened", destroyed_unopened),
];

/// How long a process bears that nothing of what it sends is taken.
const LIMIT: Duration = Duration::from_secs(2);

/// The limit ends it when the SYN was to be retransmitted, after a second.
fn unanswered() -> anyhow::Result<Played> {
    let mut net = Puppet::new("unanswered")?;
    let (socket, _) = net.connect(Peer::new(PEER, 80, 47301))?;
    socket.set_tcp_user_timeout(Some(Duration::from_millis(500)))?;
    Ok(net.played(1, vec![socket]))
}

/// It does not wait any longer, but has waited until the SYN was retransmitted. Who does not wait for that is no
/// finding: the second one, as of an attempt that another one has overtaken.
fn abandoned() -> anyhow::Result<Played> {
    let mut net = Puppet::new("abandoned")?;
    let (socket, _) = net.connect(Peer::new(PEER, 80, 47306))?;
    net.receive("the SYN again", |packet| packet.is_syn() && packet.source.port() == 47306)?;
    let (overtaken, _) = net.connect(Peer::new(PEER, 80, 47307))?;
    net.host.run(move || {
        drop((socket, overtaken));
        Ok(())
    })?;
    Ok(net.played(1, vec![]))
}

fn killed_waiting() -> anyhow::Result<Played> {
    let mut net = Puppet::new("killedwaiting")?;
    let mut process = net.host.run(|| Ok(crate::peer::Peer::start("waiting")))?;
    process.tell(&format!("connect {PEER}:80"));
    for _ in 0..2 {
        net.receive("a SYN", Packet::is_syn)?;
    }
    process.kill();
    Ok(net.played(1, vec![]))
}

/// The peer's kernel answers each probe: its process has not read what came.
fn never_read() -> anyhow::Result<Played> {
    let host = Host::new("neverread")?;
    let ends = host.run(fill)?;
    Ok(Played { netns: vec![host.netns()], rsts: 1, alive: vec![Box::new(ends), Box::new(host)] })
}

/// The peer never reads from an orphaned connection (no process has it open any more).
fn never_read_after_close() -> anyhow::Result<Played> {
    let host = Host::new("readnomore")?;
    let reader = host.run(|| fill().map(|(_, reader)| reader))?;
    Ok(Played { netns: vec![host.netns()], rsts: 1, alive: vec![Box::new(reader), Box::new(host)] })
}

/// A connection whose one end sends more than the other one's socket takes, and bears that for a moment.
fn fill() -> anyhow::Result<(TcpStream, TcpStream)> {
    let (sender, reader) = report::connection();
    socket2::SockRef::from(&sender).set_tcp_user_timeout(Some(LIMIT))?;
    sender.set_nonblocking(true)?;
    // Until both kernels' buffers are full.
    while (&sender).write(&[0; 1 << 16]).is_ok() {}
    Ok((sender, reader))
}

/// The peer closes its window, and is not heard any more.
fn closed_window_and_gone() -> anyhow::Result<Played> {
    const WINDOW: u16 = 1000;
    let (host, hand) = Hand::with("windowgone")?;
    let mut line = hand.connected(&host, WINDOW)?;
    line.socket.set_tcp_user_timeout(Some(LIMIT))?;
    tcp::say(&line.socket, &[0; 3 * WINDOW as usize])?;
    let mut taken = 0;
    while taken < u32::from(WINDOW) {
        taken += hand.hear(line.far, Flags::ACK)?.len;
    }
    line.far = line.far.heard(taken);
    hand.say_window(line.far, Flags::ACK, 0, 0)?;
    Ok(peers::played(host, hand, vec![line.socket], 1))
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
