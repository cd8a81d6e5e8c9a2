//! RSTs that no process and no segment asks for: time does. All clocks run at once.

use std::{fs, net::Shutdown};

use nix::sys::socket::{setsockopt, sockopt};

use super::{
    Played, Scenario,
    peers::hand::{Hand, Line},
};

pub(super) const ALL: &[Scenario] =
    &[Scenario::new("keepalive", keepalive), Scenario::new("fin_wait2_timeout", fin_wait2)];

/// Bytes that the peer takes.
const WINDOW: u16 = u16::MAX;

/// A probe after a second, and another second for the answer, which never comes.
fn probe(line: &Line) -> anyhow::Result<()> {
    let socket = &line.socket;
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &1)?;
    setsockopt(socket, sockopt::TcpKeepInterval, &1)?;
    setsockopt(socket, sockopt::TcpKeepCount, &1)?;
    Ok(())
}

/// Counted probes, TCP_USER_TIMEOUT in their place, and the half-closed socket of a process that waits.
fn keepalive() -> anyhow::Result<Played> {
    let (host, hand) = Hand::with("keepalive")?;
    let counted = hand.connected(&host, WINDOW)?;
    probe(&counted)?;
    let timed = hand.connected(&host, WINDOW)?;
    setsockopt(&timed.socket, sockopt::TcpUserTimeout, &1500)?;
    probe(&timed)?;
    let mut half = hand.connected(&host, WINDOW)?;
    half.socket.shutdown(Shutdown::Write)?;
    hand.finished(&mut half)?;
    probe(&half)?;
    let sockets = [counted, timed, half].map(|line| line.socket);
    Ok(Played {
        netns: vec![host.netns()],
        rsts: sockets.len(),
        alive: vec![Box::new(sockets), Box::new(hand), Box::new(host)],
    })
}

/// FIN_WAIT2 of a closed socket is a minisocket's, which ends silently, unless it lasts for longer than
/// TIME_WAIT (60 s): then the socket itself waits for the part above. It aborts where nothing is left of the
/// rest when that is over, as when somebody sets a shorter time meanwhile (tcp_keepalive_timer in
/// net/ipv4/tcp_timer.c).
fn fin_wait2() -> anyhow::Result<Played> {
    // This namespace's own.
    const LIMIT: &str = "/proc/sys/net/ipv4/tcp_fin_timeout";
    let (host, hand) = Hand::with("fin_wait2")?;
    let mut line = hand.connected(&host, WINDOW)?;
    line.socket.shutdown(Shutdown::Write)?;
    hand.finished(&mut line)?;
    host.run(move || {
        fs::write(LIMIT, "61")?;
        drop(line);
        Ok(fs::write(LIMIT, "1")?)
    })?;
    Ok(Played { netns: vec![host.netns()], rsts: 1, alive: vec![Box::new(hand), Box::new(host)] })
}
