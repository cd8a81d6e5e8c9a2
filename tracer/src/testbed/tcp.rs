//! TCP sockets of the scenarios: bounded in time, and asked for the states that they are in.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

use crate::event::TcpState;

/// A blocking TCP socket, bound to `local`, whose calls all return within `timeout`.
///
/// # Errors
/// The address is not this host's, or is in use.
pub fn bound(local: SocketAddr, timeout: Duration) -> anyhow::Result<Socket> {
    let socket = unbound(local, timeout)?;
    bind(&socket, local)?;
    Ok(socket)
}

fn unbound(local: SocketAddr, timeout: Duration) -> anyhow::Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::TCP))
        .context("cannot make a TCP socket")?;
    socket.set_read_timeout(Some(timeout))?;
    socket.set_write_timeout(Some(timeout))?;
    Ok(socket)
}

fn bind(socket: &Socket, local: SocketAddr) -> anyhow::Result<()> {
    socket.bind(&local.into()).with_context(|| format!("cannot bind to {local}"))
}

/// Like [`bound`], and listening; connections of an earlier listener may still end (SO_REUSEADDR).
///
/// # Errors
/// As of [`bound`].
pub fn listening(local: SocketAddr, timeout: Duration) -> anyhow::Result<Socket> {
    let socket = unbound(local, timeout)?;
    socket.set_reuse_address(true)?;
    bind(&socket, local)?;
    socket.listen(16).with_context(|| format!("cannot listen on {local}"))?;
    Ok(socket)
}

/// Accepts a connection, whose calls are bounded as the listener's are.
///
/// # Errors
/// None came in time.
pub fn accept(listener: &Socket) -> anyhow::Result<Socket> {
    let (socket, _) = listener.accept().context("no connection came to be accepted")?;
    socket.set_read_timeout(listener.read_timeout()?)?;
    socket.set_write_timeout(listener.write_timeout()?)?;
    Ok(socket)
}

/// Sends a SYN and returns without waiting for the answer; [`connected`] does that.
///
/// # Errors
/// The kernel refuses to start.
pub fn start_connect(socket: &Socket, remote: SocketAddr) -> anyhow::Result<()> {
    socket.set_nonblocking(true)?;
    match socket.connect(&remote.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
            Err(error).with_context(|| format!("cannot connect to {remote}"))
        }
        _ => Ok(()),
    }
}

/// Like [`bound`], with a connection to `remote` started.
///
/// # Errors
/// As of [`bound`] and [`start_connect`].
pub fn connecting(local: SocketAddr, remote: SocketAddr, timeout: Duration) -> anyhow::Result<Socket> {
    let socket = bound(local, timeout)?;
    start_connect(&socket, remote)?;
    Ok(socket)
}

/// Waits for the end of a [`start_connect`]: `Ok(Err(_))` is the network's refusal.
///
/// # Errors
/// Nothing came in time.
pub fn connected(socket: &Socket) -> anyhow::Result<io::Result<()>> {
    let timeout = socket.write_timeout()?.map_or(Ok(PollTimeout::NONE), PollTimeout::try_from)?;
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut fds, timeout).context("cannot wait for the connection")? == 0 {
        bail!("the connection was neither made nor refused in time");
    }
    socket.set_nonblocking(false)?;
    Ok(socket.take_error()?.map_or(Ok(()), Err))
}

/// Sends all of `bytes`.
///
/// # Errors
/// The connection does not take them in time.
pub fn say(mut socket: &Socket, bytes: &[u8]) -> anyhow::Result<()> {
    socket.write_all(bytes).context("cannot send on a connection")
}

/// Receives exactly `len` bytes.
///
/// # Errors
/// They do not come in time.
pub fn hear(mut socket: &Socket, len: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    socket.read_exact(&mut bytes).context("the data that was sent has not arrived")?;
    Ok(bytes)
}

/// Receives the peer's FIN.
///
/// # Errors
/// It does not come in time, or more data comes first.
pub fn hear_end(mut socket: &Socket) -> anyhow::Result<()> {
    match socket.read(&mut [0]).context("the peer has not closed the connection")? {
        0 => Ok(()),
        _ => bail!("the peer sent more than was expected"),
    }
}

/// The state that the socket itself reports (`TCP_INFO`).
///
/// # Errors
/// The system call's.
pub fn state(socket: &Socket) -> anyhow::Result<TcpState> {
    let mut state = 0u8;
    let mut length: libc::socklen_t = 1;
    // SAFETY: the kernel writes at most `length` bytes to `state`, the first of its `struct tcp_info`,
    // which is `tcpi_state`; both variables outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut state).cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error()).context("cannot ask a socket for its state");
    }
    Ok(TcpState(state))
}
