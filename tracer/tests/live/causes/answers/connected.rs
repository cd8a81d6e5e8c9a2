//! Data for a process that has closed its socket.

use tracer::{event::Flags, testbed::segment::Packet};

use super::super::{
    Played,
    puppet::{ACK, PEER, Peer, Puppet},
};

fn is_fin(packet: &Packet) -> bool {
    packet.segment.flags.contains(Flags::FIN)
}

/// A connection that the host has closed; the FIN has come, and is not acknowledged.
fn closed(name: &'static str, port: u16, fin_timeout: Option<&'static str>) -> anyhow::Result<(Puppet, Peer, Peer)> {
    let mut net = Puppet::new(name)?;
    if let Some(seconds) = fin_timeout {
        net.host.run(move || Ok(std::fs::write("/proc/sys/net/ipv4/tcp_fin_timeout", seconds)?))?;
    }
    let listener = net.listen(port)?;
    let (before, socket) = net.establish(&listener, Peer::new(PEER, 4321, port))?;
    drop((socket, listener));
    let fin = net.receive("a FIN", is_fin)?;
    Ok((net, before, before.heard(&fin)))
}

pub(super) fn in_fin_wait1() -> anyhow::Result<Played> {
    let (mut net, before, _) = closed("finwait1", 47401, None)?;
    net.send(before, ACK, b"hello")?;
    net.receive_rst()?;
    Ok(net.played(1, vec![]))
}

pub(super) fn with_the_ack_of_the_fin() -> anyhow::Result<Played> {
    let (mut net, _, after) = closed("finacked", 47402, None)?;
    net.send(after, ACK, b"hello")?;
    net.receive_rst()?;
    Ok(net.played(1, vec![]))
}

/// A socket that waits for longer than TIME_WAIT takes stays a socket for so long.
pub(super) fn in_fin_wait2() -> anyhow::Result<Played> {
    let (mut net, _, after) = closed("finwait2", 47403, Some("120"))?;
    net.send(after, ACK, &[])?;
    net.send(after, ACK, b"hello")?;
    net.receive_rst()?;
    Ok(net.played(1, vec![]))
}

pub(super) fn to_the_minisocket() -> anyhow::Result<Played> {
    let (mut net, _, after) = closed("minisocket", 47404, None)?;
    net.send(after, ACK, &[])?;
    net.send(after, ACK, b"hello")?;
    net.receive_rst()?;
    Ok(net.played(1, vec![]))
}
