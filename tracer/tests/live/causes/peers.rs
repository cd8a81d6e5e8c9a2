//! RSTs that come from the network, where tracer is on this side only.

use anyhow::ensure;
use socket2::Socket;
use std::{io::Write as _, net::Shutdown, time::Instant};
use tracer::{
    event::Flags,
    testbed::{forge::Forger, host::Host, tcp},
};

use self::hand::{Hand, TIMEOUT, both};
use super::{
    Played, Scenario,
    puppet::{self, PEER, Peer, Puppet},
};
use crate::report;

pub(super) mod hand;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new("refused", refused),
    Scenario::new("reset_in_handshake", in_handshake),
    Scenario::new("reset_while_sending", while_sending),
    Scenario::new("reset_after_close", after_close),
    Scenario::new("reset_by_peer", idle),
    Scenario::new("injected", injected),
    Scenario::new("middlebox", from_elsewhere),
    Scenario::new("data_after_close", data_after_close),
];

/// Bytes that the peer takes.
pub(super) const WINDOW: u16 = u16::MAX;

pub(super) fn played(host: Host, hand: Hand, sockets: Vec<Socket>, rsts: usize) -> Played {
    Played { netns: vec![host.netns()], rsts, alive: vec![Box::new(sockets), Box::new(hand), Box::new(host)] }
}

/// Answers the SYN with a RST.
fn refuse(host: &Host, hand: &Hand) -> anyhow::Result<Socket> {
    let mut line = hand.called(host)?;
    line.far.seq = 0;
    hand.say(line.far, both(Flags::RST, Flags::ACK), 0)?;
    ensure!(tcp::connected(&line.socket)?.is_err(), "the SYN was refused");
    Ok(line.socket)
}

fn refused() -> anyhow::Result<Played> {
    let (host, hand) = Hand::with("refused")?;
    let socket = refuse(&host, &hand)?;
    Ok(played(host, hand, vec![socket], 1))
}

/// A request that a listener holds has no socket to reset; one whose SYN crosses the peer's has.
fn in_handshake() -> anyhow::Result<Played> {
    let (host, hand) = Hand::with("in_handshake")?;
    let mut line = hand.called(&host)?;
    hand.say(line.far, Flags::SYN, 0)?;
    line.far.seq += 1;
    hand.hear(line.far, both(Flags::SYN, Flags::ACK))?;
    hand.say(line.far, Flags::RST, 0)?;
    Ok(played(host, hand, vec![line.socket], 1))
}

fn while_sending() -> anyhow::Result<Played> {
    let (host, hand) = Hand::with("while_sending")?;
    let line = hand.connected(&host, WINDOW)?;
    tcp::say(&line.socket, b"to nobody")?;
    hand.hear(line.far, Flags::ACK)?;
    hand.say(line.far, both(Flags::RST, Flags::ACK), 0)?;
    Ok(played(host, hand, vec![line.socket], 1))
}

/// In FIN_WAIT1, where no process has the socket open, and in FIN_WAIT2, half closed.
fn after_close() -> anyhow::Result<Played> {
    let (host, hand) = Hand::with("after_close")?;
    let mut half = hand.connected(&host, WINDOW)?;
    half.socket.shutdown(Shutdown::Write)?;
    hand.finished(&mut half)?;
    hand.say(half.far, Flags::RST, 0)?;
    let mut first = hand.connected(&host, WINDOW)?;
    first.socket.shutdown(Shutdown::Write)?;
    hand.hear_fin(&mut first.far)?;
    hand.say(first.far, Flags::RST, 0)?;
    Ok(played(host, hand, vec![half.socket, first.socket], 2))
}

fn idle() -> anyhow::Result<Played> {
    let (host, hand) = Hand::with("idle")?;
    let line = hand.connected(&host, WINDOW)?;
    hand.say(line.far, Flags::RST, 0)?;
    Ok(played(host, hand, vec![line.socket], 1))
}

/// As tcpkill does it: each end gets a RST in the other's name, with numbers that were overheard.
fn injected() -> anyhow::Result<Played> {
    let host = Host::new("injected")?;
    let ends = host.run(|| {
        let (mut client, mut server) = report::connection();
        let (left, right) = (client.local_addr()?, server.local_addr()?);
        let (as_left, as_right) = (Forger::open(left, right)?, Forger::open(right, left)?);
        let deadline = Instant::now() + TIMEOUT;
        server.write_all(b"to the client")?;
        let overheard = as_left.receive(Flags::ACK, deadline)?;
        client.write_all(b"to the server")?;
        let next = overheard.seq.wrapping_add(overheard.len);
        as_left.send(Flags::RST, overheard.ack.wrapping_add(b"to the server".len() as u32), 0, &[])?;
        as_right.send(Flags::RST, next, 0, &[])?;
        Ok((client, server))
    })?;
    Ok(Played { netns: vec![host.netns()], rsts: 2, alive: vec![Box::new(ends), Box::new(host)] })
}

/// The RST comes in the peer's name from another distance.
fn from_elsewhere() -> anyhow::Result<Played> {
    let mut net = Puppet::new("elsewhere")?;
    let listener = net.listen(47201)?;
    let (peer, socket) = net.establish(&listener, Peer::new(PEER, 4201, 47201))?;
    net.send(peer, puppet::ACK, b"hello")?;
    tcp::hear(&socket, b"hello".len())?;
    net.send(Peer { ttl: peer.ttl - 20, ..peer.sent(b"hello".len() as u32) }, Flags::RST, &[])?;
    Ok(net.played(1, vec![listener, socket]))
}

/// Data for a socket that has been closed: before its FIN was acknowledged, with that, and after. The kernel
/// treats the first as if a RST had come: only what it sends may be reported.
fn data_after_close() -> anyhow::Result<Played> {
    let (host, hand) = Hand::with("after_close")?;
    for step in 0..3 {
        let line = hand.connected(&host, WINDOW)?;
        let (before, mut far) = (line.far, line.far);
        host.run(move || {
            drop(line);
            Ok(())
        })?;
        hand.hear_fin(&mut far)?;
        if step == 2 {
            hand.say(far, Flags::ACK, 0)?;
        }
        hand.tell(if step == 0 { before } else { far }, b"too late")?;
        hand.hear(far, Flags::RST)?;
    }
    Ok(Played { netns: vec![host.netns()], rsts: 3, alive: vec![Box::new(hand), Box::new(host)] })
}
