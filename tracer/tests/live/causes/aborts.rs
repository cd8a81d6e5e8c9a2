//! This host's own aborts: by its processes, its administrator, its limits.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    os::fd::{AsRawFd as _, OwnedFd},
};

use anyhow::Context as _;
use nix::sys::socket::{setsockopt, sockopt};
use tracer::{
    event::{Flags, TcpState},
    testbed::{host::Host, tcp},
};

use super::{
    Played, Scenario,
    peers::hand::{Hand, Line, both},
};
use crate::{child::Player, report, wait::until};

mod special;

pub(super) use self::special::destroy;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new("close_unread", close_unread),
    Scenario::new("process_killed", killed),
    Scenario::new("process_killed", exited),
    Scenario::new("linger_zero", linger_zero),
    Scenario::new("linger2", linger2),
    Scenario::new("linger2", linger2_in_fin_wait1),
    Scenario::new("disconnect_unsent", disconnect_unsent),
    Scenario::new("listener_closed", listener_closed),
    Scenario::new("connect_unspec", connect_unspec),
    Scenario::new("destroyed", special::destroyed),
    Scenario::new("mptcp", special::mptcp),
    Scenario::new("orphan_limit", special::orphan_limit),
];

/// One RST through loopback: sent and received.
const BOTH_ENDS: usize = 2;

/// What happens to a connection of one host with itself; the server's end stays if it is returned.
fn on_loopback<T: Send + 'static>(
    name: &'static str,
    act: impl FnOnce(TcpStream, TcpStream) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<Played> {
    let host = Host::new(name)?;
    let kept = host.run(|| {
        let (client, server) = report::connection();
        act(client, server)
    })?;
    Ok(Played { netns: vec![host.netns()], rsts: BOTH_ENDS, alive: vec![Box::new(kept), Box::new(host)] })
}

/// Makes sure that what the client writes waits at the server.
fn leave_unread(mut client: &TcpStream, server: &TcpStream) -> anyhow::Result<()> {
    client.write_all(b"unread")?;
    server.peek(&mut [0])?;
    Ok(())
}

fn close_unread() -> anyhow::Result<Played> {
    on_loopback("close_unread", |client, server| {
        leave_unread(&client, &server)?;
        drop(server);
        Ok(client)
    })
}

/// A process that has a connection open with data unread, and how that ends.
fn ending(name: &'static str, how: &'static str, end: fn(Player)) -> anyhow::Result<Played> {
    const SERVER: &str = "127.0.0.1:8080";
    let host = Host::new(name)?;
    let (client, player) = host.run(move || {
        let mut player = Player::start(&format!("listen {SERVER}; wait; accept; wait; {how}"));
        let mut client = TcpStream::connect(SERVER)?;
        client.write_all(b"unread")?;
        player.go();
        player.wait_ready();
        Ok((client, player))
    })?;
    end(player);
    Ok(Played { netns: vec![host.netns()], rsts: BOTH_ENDS, alive: vec![Box::new(client), Box::new(host)] })
}

fn killed() -> anyhow::Result<Played> {
    // That of a player that has not ended is SIGKILL.
    ending("killed", "", drop)
}

fn exited() -> anyhow::Result<Played> {
    ending("exited", "exit", |mut player| player.end())
}

fn linger_zero() -> anyhow::Result<Played> {
    on_loopback("linger_zero", |client, server| {
        setsockopt(&client, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
        drop(client);
        Ok(server)
    })
}

/// A negative TCP_LINGER2: nothing waits in FIN_WAIT2.
fn do_not_wait(socket: &socket2::Socket) -> anyhow::Result<()> {
    let never = -1i32;
    // SAFETY: the socket is open, and the kernel reads one integer, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_LINGER2,
            (&raw const never).cast(),
            size_of_val(&never) as libc::socklen_t,
        )
    };
    if result < 0 { Err(std::io::Error::last_os_error()).context("TCP_LINGER2") } else { Ok(()) }
}

/// close() finds the socket in FIN_WAIT2.
fn linger2() -> anyhow::Result<Played> {
    let (host, hand) = Hand::with("linger2")?;
    let mut line = hand.connected(&host, u16::MAX)?;
    do_not_wait(&line.socket)?;
    line.socket.shutdown(Shutdown::Write)?;
    hand.finished(&mut line)?;
    host.run(move || {
        drop(line);
        Ok(())
    })?;
    Ok(Played { netns: vec![host.netns()], rsts: 1, alive: vec![Box::new(hand), Box::new(host)] })
}

/// close() finds it before that; the acknowledgment of its FIN is what the RST answers then.
fn linger2_in_fin_wait1() -> anyhow::Result<Played> {
    let (host, hand) = Hand::with("linger2_first")?;
    let mut line = hand.connected(&host, u16::MAX)?;
    do_not_wait(&line.socket)?;
    line.socket.shutdown(Shutdown::Write)?;
    hand.hear_fin(&mut line.far)?;
    let Line { socket, far } = line;
    host.run(move || {
        drop(socket);
        Ok(())
    })?;
    hand.say(far, Flags::ACK, 0)?;
    Ok(Played { netns: vec![host.netns()], rsts: 1, alive: vec![Box::new(hand), Box::new(host)] })
}

/// The peer has closed and takes nothing more; then the connection is dissolved.
fn disconnect_unsent() -> anyhow::Result<Played> {
    let (host, hand) = Hand::with("unsent")?;
    let mut lines = [hand.connected(&host, 0)?, hand.connected(&host, 0)?];
    for line in &mut lines {
        tcp::say(&line.socket, b"never sent")?;
        hand.say_window(line.far, both(Flags::FIN, Flags::ACK), 0, 0)?;
        until("CLOSE_WAIT", || Ok(tcp::state(&line.socket)? == TcpState::CLOSE_WAIT))?;
        line.socket.shutdown(Shutdown::Write)?;
    }
    let [left, lingering] = lines.map(|line| line.socket);
    let left = host.run(move || {
        let left = OwnedFd::from(left);
        dissolve(&left)?;
        setsockopt(&lingering, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
        drop(lingering);
        Ok(left)
    })?;
    Ok(Played { netns: vec![host.netns()], rsts: 2, alive: vec![Box::new(left), Box::new(hand), Box::new(host)] })
}

fn listener_closed() -> anyhow::Result<Played> {
    let host = Host::new("listener_closed")?;
    let client = host.run(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        drop(listener);
        // Nothing, for it was reset.
        let _ = client.read(&mut [0]);
        Ok(client)
    })?;
    Ok(Played { netns: vec![host.netns()], rsts: BOTH_ENDS, alive: vec![Box::new(client), Box::new(host)] })
}

/// connect() to no family: connect(2), "Some protocol sockets (e.g., TCP) may dissolve the association".
fn dissolve(socket: &OwnedFd) -> anyhow::Result<()> {
    // SAFETY: `sockaddr` is a C struct of integers, for which zero is a valid value.
    let mut nowhere: libc::sockaddr = unsafe { std::mem::zeroed() };
    nowhere.sa_family = libc::AF_UNSPEC as libc::sa_family_t;
    // SAFETY: the socket is open, and the kernel reads one `sockaddr`, which outlives the call.
    let result =
        unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, size_of_val(&nowhere) as libc::socklen_t) };
    if result < 0 { Err(std::io::Error::last_os_error()).context("connect(AF_UNSPEC)") } else { Ok(()) }
}

fn connect_unspec() -> anyhow::Result<Played> {
    on_loopback("connect_unspec", |client, server| {
        let client = OwnedFd::from(client);
        dissolve(&client)?;
        Ok((client, server))
    })
}
