//! Segments that a listener does not take for a handshake's.

use tracer::demo::tcp;

use super::super::{
    Played,
    puppet::{ACK, PEER, Peer, Puppet, SYN},
};

/// Two handshakes are under way when there is room for one: the queue counts only those that are done.
pub(super) fn overflow() -> anyhow::Result<Played> {
    let mut net = Puppet::new("overflow")?;
    let listener = net.listen(47201)?;
    net.host.run(|| Ok(std::fs::write("/proc/sys/net/ipv4/tcp_abort_on_overflow", "1")?))?;
    let first = net.open(Peer::new(PEER, 4321, 47201))?;
    let second = net.open(Peer::new(PEER, 4322, 47201))?;
    // Only now: for as many half-open connections it would have sent SYN cookies, for which there is no RST.
    listener.listen(0)?;
    net.send(first, ACK, &[])?;
    net.send(second, ACK, &[])?;
    net.receive_rst()?;
    Ok(net.played(1, vec![listener]))
}

/// Another SYN, further on in the window.
pub(super) fn second_syn() -> anyhow::Result<Played> {
    let mut net = Puppet::new("secondsyn")?;
    let listener = net.listen(47202)?;
    let peer = net.open(Peer::new(PEER, 4321, 47202))?;
    net.send(peer.sent(100), SYN, &[])?;
    net.receive_rst()?;
    Ok(net.played(1, vec![listener]))
}

pub(super) fn ack_of_nothing() -> anyhow::Result<Played> {
    let mut net = Puppet::new("staleack")?;
    let listener = net.listen(47203)?;
    net.send(Peer { ack: 5, ..Peer::new(PEER, 4321, 47203) }, ACK, b"hello")?;
    net.receive_rst()?;
    Ok(net.played(1, vec![listener]))
}

/// A handshake's last ACK has another number than the SYN+ACK asked for.
pub(super) fn ack_of_something_else() -> anyhow::Result<Played> {
    let mut net = Puppet::new("wrongack")?;
    let listener = net.listen(47204)?;
    let peer = net.open(Peer::new(PEER, 4321, 47204))?;
    net.send(Peer { ack: peer.ack.wrapping_add(1000), ..peer }, ACK, &[])?;
    net.receive_rst()?;
    // The handshake goes on: what came was none of its segments.
    net.send(peer, ACK, &[])?;
    let socket = tcp::accept(&listener)?;
    Ok(net.played(1, vec![listener, socket]))
}
