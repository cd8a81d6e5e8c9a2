//! Segments that a listener does not take for a handshake's.

use std::time::Duration;

use tracer::{
    event::{Family, TcpState},
    host::sock_diag,
    testbed::{host::Host, tcp},
};

use crate::wait::until;

use super::super::{
    Played,
    puppet::{ACK, PEER, Peer, Puppet, SYN, TIMEOUT},
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

/// A full accept queue without a RST: the peer considers itself connected, and sends when its request is forgotten.
pub(super) fn no_place() -> anyhow::Result<Played> {
    let mut net = Puppet::new("noplace")?;
    let listener = net.listen(47207)?;
    net.host.run(|| Ok(std::fs::write("/proc/sys/net/ipv4/tcp_synack_retries", "1")?))?;
    let first = net.open(Peer::new(PEER, 4321, 47207))?;
    let second = net.open(Peer::new(PEER, 4322, 47207))?;
    listener.listen(0)?;
    net.send(first, ACK, &[])?;
    net.send(second, ACK, &[])?;
    net.receive("the SYN+ACK again", |packet| packet.is_syn_ack() && packet.destination == second.end)?;
    net.host.run(|| {
        until("the request is forgotten", || {
            std::thread::sleep(Duration::from_millis(20));
            let all = sock_diag::list(Family::Ipv4)?;
            Ok(all.iter().all(|socket| socket.state != TcpState::SYN_RECV))
        })
    })?;
    net.send(second, ACK, b"hello")?;
    net.receive_rst()?;
    Ok(net.played(1, vec![listener]))
}

/// The queue is full before the next one begins: its SYN is retransmitted again and again.
pub(super) fn no_place_for_a_syn() -> anyhow::Result<Played> {
    let host = Host::new("noplaceforsyn")?;
    let sockets = host.run(|| {
        let listener = tcp::listening("127.0.0.1:47208".parse()?, TIMEOUT)?;
        listener.listen(0)?;
        let end = "127.0.0.1:47208".parse()?;
        let connect = || tcp::connecting("127.0.0.1:0".parse()?, end, TIMEOUT);
        Ok([listener, connect()?, connect()?])
    })?;
    Ok(Played { netns: vec![host.netns()], rsts: 1, alive: vec![Box::new(sockets), Box::new(host)] })
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

/// The listener is closed when the SYN+ACK is on its way.
pub(super) fn closed_meanwhile() -> anyhow::Result<Played> {
    let mut net = Puppet::new("closedlisten")?;
    let listener = net.listen(47205)?;
    let peer = net.open(Peer::new(PEER, 4321, 47205))?;
    drop(listener);
    net.send(peer, ACK, b"hello")?;
    net.receive_rst()?;
    Ok(net.played(1, vec![]))
}

/// The listener is closed during a handshake, and another one is there when the ACK arrives.
pub(super) fn restarted_meanwhile() -> anyhow::Result<Played> {
    let mut net = Puppet::new("restarted")?;
    let listener = net.listen(47206)?;
    let peer = net.open(Peer::new(PEER, 4321, 47206))?;
    drop(listener);
    let listener = net.listen(47206)?;
    net.send(peer, ACK, &[])?;
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
