//! RSTs that are received but ignored.

use std::net::Shutdown;

use anyhow::ensure;
use tracer::{
    event::{Flags, TcpState},
    testbed::{host::Host, tcp},
};

use super::{
    Lacks, Played, Scenario, observation,
    peers::{
        WINDOW,
        hand::{Hand, Line, both},
        played,
    },
    puppet::{PEER, Peer, Puppet},
};
use crate::wait::until;

pub(super) const ALL: &[Scenario] = &[
    Scenario::stray("challenge_ack", challenged),
    Scenario::stray("rst_out_of_window", outside),
    // Before 6.12 the socket is not seen, and so neither its state nor what it expected.
    Scenario::stray("rst_in_fin_wait2", in_fin_wait2).also(&["rst_in_time_wait", "rst_without_socket"]),
    Scenario::stray("time_wait_assassination", assassinated).also(&["rst_in_time_wait"]),
    Scenario::stray("rst_in_time_wait", in_time_wait),
    // Before 5.17 the kernel names no reason.
    Scenario::stray("rst_of_request", of_request).also(&["stray"]),
    Scenario::stray("rst_at_listener", at_listener),
    Scenario::stray("rst_without_socket", without_socket).also(&["stray"]),
    Scenario::stray("middlebox", series).also(&["challenge_ack"]),
];

/// Whether this kernel shows RSTs that it drops for a connection.
fn are_traced() -> anyhow::Result<()> {
    match observation()["degraded"].to_string().contains("stray RSTs without a connection only") {
        true => Err(Lacks("such RSTs are dropped without a trace").into()),
        false => Ok(()),
    }
}

fn challenge(hand: &Hand, line: &Line, offset: u32) -> anyhow::Result<()> {
    hand.say(line.far, Flags::RST, offset)?;
    let challenge = hand.hear(line.far, Flags::ACK)?;
    ensure!(challenge.ack == line.far.seq, "the connection lives");
    Ok(())
}

/// In the window, but not what comes next (RFC 5961, section 3.2).
fn challenged() -> anyhow::Result<Played> {
    are_traced()?;
    let (host, hand) = Hand::with("challenged")?;
    let line = hand.connected(&host, WINDOW)?;
    challenge(&hand, &line, 5)?;
    Ok(played(host, hand, vec![line.socket], 1))
}

fn outside() -> anyhow::Result<Played> {
    are_traced()?;
    let (host, hand) = Hand::with("outside")?;
    let line = hand.connected(&host, WINDOW)?;
    hand.say(line.far, Flags::RST, 1 << 30)?;
    hand.tell(line.far, b"still here")?;
    hand.hear(line.far, Flags::ACK)?;
    Ok(played(host, hand, vec![line.socket], 1))
}

/// The host has closed, and the peer has only acknowledged that: a minisocket waits for its FIN.
fn in_fin_wait2() -> anyhow::Result<Played> {
    let (host, hand) = Hand::with("finwait2")?;
    let line = hand.connected(&host, WINDOW)?;
    let mut far = line.far;
    host.run(move || {
        drop(line);
        Ok(())
    })?;
    hand.hear_fin(&mut far)?;
    hand.say(far, Flags::ACK, 0)?;
    hand.say(far, Flags::RST, 0)?;
    Ok(played(host, hand, vec![], 1))
}

/// A connection of which the host waits in TIME_WAIT.
fn closed(name: &'static str) -> anyhow::Result<(Host, Hand, Line)> {
    let (host, hand) = Hand::with(name)?;
    let mut line = hand.connected(&host, WINDOW)?;
    line.socket.shutdown(Shutdown::Write)?;
    hand.finished(&mut line)?;
    hand.say(line.far, both(Flags::FIN, Flags::ACK), 0)?;
    line.far.seq += 1;
    until("TIME_WAIT", || Ok(tcp::state(&line.socket)? == TcpState::CLOSE))?;
    Ok((host, hand, line))
}

/// TIME_WAIT ends with it (RFC 1337).
fn assassinated() -> anyhow::Result<Played> {
    let (host, hand, line) = closed("assassinated")?;
    hand.say(line.far, Flags::RST, 0)?;
    Ok(played(host, hand, vec![line.socket], 1))
}

fn in_time_wait() -> anyhow::Result<Played> {
    let (host, hand, line) = closed("timewait")?;
    hand.say(line.far, Flags::RST, 5)?;
    Ok(played(host, hand, vec![line.socket], 1))
}

fn of_request() -> anyhow::Result<Played> {
    let mut net = Puppet::new("request")?;
    let listener = net.listen(47401)?;
    let peer = net.open(Peer::new(PEER, 4001, 47401))?;
    net.send(peer, Flags::RST, &[])?;
    Ok(net.played(1, vec![listener]))
}

fn at_listener() -> anyhow::Result<Played> {
    are_traced()?;
    let mut net = Puppet::new("atlistener")?;
    let listener = net.listen(47402)?;
    net.send(Peer::new(PEER, 4002, 47402), Flags::RST, &[])?;
    Ok(net.played(1, vec![listener]))
}

fn without_socket() -> anyhow::Result<Played> {
    let mut net = Puppet::new("nosocket")?;
    net.send(Peer::new(PEER, 4003, 47403), Flags::RST, &[])?;
    Ok(net.played(1, vec![]))
}

/// As from a box that guesses: the second shows what the first was.
fn series() -> anyhow::Result<Played> {
    are_traced()?;
    let (host, hand) = Hand::with("series")?;
    let line = hand.connected(&host, WINDOW)?;
    challenge(&hand, &line, 1460)?;
    hand.say(line.far, Flags::RST, 4380)?;
    hand.tell(line.far, b"still here")?;
    hand.hear(line.far, Flags::ACK)?;
    Ok(played(host, hand, vec![line.socket], 2))
}
