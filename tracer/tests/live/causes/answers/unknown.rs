//! Segments of connections that this host does not, or no longer, have.

use std::{os::fd::AsFd, time::Duration};

use anyhow::ensure;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracer::{
    event::{Flags, TcpState},
    testbed::{forge::Forger, segment::Packet, tcp},
};

use crate::wait::until;

use super::super::{
    Played,
    puppet::{ACK, FIN_ACK, OTHER, PEER, Peer, Puppet, SYN, SYN_ACK, TIMEOUT},
};

/// A raw socket's SYN is answered, and no socket waits for that.
pub(super) fn forged_syn() -> anyhow::Result<Played> {
    let mut net = Puppet::new("forger")?;
    let peer = Peer::new(PEER, 80, 47101);
    net.host.run(move || Forger::open(peer.host, peer.end)?.send(SYN, 7, 0, &[]))?;
    let syn = net.receive("a SYN", Packet::is_syn)?;
    net.send(peer.heard(&syn), SYN_ACK, &[])?;
    net.receive_rst()?;
    Ok(net.played(1, vec![]))
}

/// A FIN without ACK, as a port scan sends it.
pub(super) fn probe() -> anyhow::Result<Played> {
    let mut net = Puppet::new("probed")?;
    net.send(Peer::new(PEER, 4321, 47108), Flags::FIN, &[])?;
    net.receive_rst()?;
    Ok(net.played(1, vec![]))
}

/// The peer closed first, so no TIME_WAIT is left here.
pub(super) fn after_both_fins() -> anyhow::Result<Played> {
    let mut net = Puppet::new("latefin")?;
    let listener = net.listen(47102)?;
    let (peer, socket) = net.establish(&listener, Peer::new(PEER, 4321, 47102))?;
    net.send(peer, FIN_ACK, &[])?;
    tcp::hear_end(&socket)?;
    drop(socket);
    let fin = net.receive("a FIN", |packet| packet.segment.flags.contains(Flags::FIN))?;
    let peer = peer.sent(1).heard(&fin);
    net.send(peer, ACK, &[])?;
    net.send(peer, ACK, b"late")?;
    net.receive_rst()?;
    Ok(net.played(1, vec![listener]))
}

/// The peer did not get the RST of an abort.
pub(super) fn after_abort() -> anyhow::Result<Played> {
    let mut net = Puppet::new("lateabort")?;
    let listener = net.listen(47103)?;
    let (peer, socket) = net.establish(&listener, Peer::new(PEER, 4321, 47103))?;
    socket.set_linger(Some(Duration::ZERO))?;
    drop(socket);
    net.receive_rst()?;
    net.send(peer, ACK, b"late")?;
    net.receive_rst()?;
    Ok(net.played(2, vec![listener]))
}

/// The socket was closed before the answer to its SYN came.
pub(super) fn after_giving_up() -> anyhow::Result<Played> {
    let mut net = Puppet::new("latesynack")?;
    let peer = Peer::new(PEER, 80, 47106);
    let (socket, syn) = net.connect(peer)?;
    net.host.run(move || {
        drop(socket);
        Ok(())
    })?;
    net.send(peer.heard(&syn), SYN_ACK, &[])?;
    net.receive_rst()?;
    Ok(net.played(1, vec![]))
}

/// The peer was silent, so the local side gave up.
pub(super) fn after_timeout() -> anyhow::Result<Played> {
    let mut net = Puppet::new("timedout")?;
    let listener = net.listen(47104)?;
    let (peer, socket) = net.establish(&listener, Peer::new(PEER, 4321, 47104))?;
    socket.set_tcp_user_timeout(Some(Duration::from_millis(100)))?;
    tcp::say(&socket, b"hello?")?;
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::try_from(TIMEOUT)?)?;
    // Up to 6.9 the error is shown before the socket is closed.
    until("CLOSE", || Ok(tcp::state(&socket)? == TcpState::CLOSE))?;
    let error = socket.take_error()?.and_then(|error| error.raw_os_error());
    ensure!(error == Some(libc::ETIMEDOUT), "{error:?}");
    net.send(peer, ACK, b"here I am")?;
    net.receive_rst()?;
    Ok(net.played(1, vec![listener, socket]))
}

/// A connection's segment comes from another address than before.
pub(super) fn other_peer() -> anyhow::Result<Played> {
    let mut net = Puppet::new("natlost")?;
    // The host connected: at a listener such a segment would be a stale ACK.
    let peer = Peer::new(PEER, 80, 47105);
    let (socket, syn) = net.connect(peer)?;
    let peer = peer.heard(&syn);
    net.send(peer, SYN_ACK, &[])?;
    tcp::connected(&socket)??;
    let other = Peer { end: Peer::new(OTHER, 80, 47105).end, ..peer.sent(1) };
    net.send(other, ACK, b"not translated")?;
    net.receive_rst()?;
    Ok(net.played(1, vec![socket]))
}

pub(super) fn never_was() -> anyhow::Result<Played> {
    let mut net = Puppet::new("neverwas")?;
    net.send(Peer { ack: 5, ..Peer::new(PEER, 4321, 47106) }, ACK, b"hello")?;
    net.receive_rst()?;
    Ok(net.played(1, vec![]))
}

/// The host is gone, as by a power cut, and another one has its address.
pub(super) fn host_made_anew() -> anyhow::Result<Played> {
    let mut before = Puppet::new("before")?;
    let listener = before.listen(47107)?;
    let (peer, socket) = before.establish(&listener, Peer::new(PEER, 4321, 47107))?;
    let mut after = Puppet::new("after")?;
    after.send(peer, ACK, b"hello")?;
    after.receive_rst()?;
    let mut played = after.played(1, vec![listener, socket]);
    played.alive.push(Box::new(before));
    Ok(played)
}
