//! MPTCP sockets: what their processes do to them resets the subflows, and is no decision of MPTCP's.

use std::net::SocketAddr;

use nix::sys::{
    signal::Signal,
    socket::{setsockopt, sockopt},
};
use socket2::{Domain, Protocol, Socket, Type};
use tracer::{
    event::Confidence,
    testbed::{host::Host, tcp},
};

use super::{End, Happened, Situation, worker::Worker};
use crate::causes::Lacks;

pub(super) const ALL: &[Situation] = &[
    Situation { name: "an MPTCP socket is closed with data unread", perform: closed_unread },
    Situation { name: "an MPTCP socket is closed with SO_LINGER of zero", perform: linger_zero },
    Situation { name: "a process with an MPTCP socket is killed", perform: killed },
];

fn socket() -> anyhow::Result<Socket> {
    Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP))
        .map_err(|_| Lacks("this kernel has no MPTCP, or it is off").into())
}

/// A connection: listener, client, server, and the client's and the server's end.
fn connection() -> anyhow::Result<(Socket, Socket, Socket, (SocketAddr, SocketAddr))> {
    let listener = socket()?;
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    listener.listen(1)?;
    let client = socket()?;
    client.connect(&listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    let end = |address: socket2::SockAddr| address.as_socket().ok_or_else(|| anyhow::anyhow!("an IPv4 address"));
    let ends = (end(client.local_addr()?)?, end(client.peer_addr()?)?);
    Ok((listener, client, server, ends))
}

/// Something closes the server's end of a connection, and so resets it: `cause`, by this process, or by the worker
/// that `close` returns.
fn closed(
    cause: &'static str,
    close: impl FnOnce(Socket, &Socket) -> anyhow::Result<Option<(&'static str, u32)>> + Send + 'static,
) -> anyhow::Result<Happened> {
    let host = Host::new("mptcp")?;
    let (sockets, by, (near, far)) = host.run(|| {
        let (listener, client, server, ends) = connection()?;
        let by = close(server, &client)?;
        Ok(((listener, client), by, ends))
    })?;
    if host.out_rsts()? == 0 {
        return Err(Lacks("this kernel's MPTCP closes in order what it might reset").into());
    }
    let (comm, pid) = by.unwrap_or((host.name(), std::process::id()));
    let told = |end: End| end.by(comm, pid).never_says("MPTCP gave up").times(1);
    let ends = vec![told(End::sent(cause).local(far)), told(End::received(cause).local(near))];
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new(sockets), Box::new(host)], ends })
}

/// The server has data that it has not read.
fn leave_unread(server: &Socket, client: &Socket) -> anyhow::Result<()> {
    tcp::say(client, b"unread")?;
    server.peek(&mut [std::mem::MaybeUninit::uninit()])?;
    Ok(())
}

fn closed_unread() -> anyhow::Result<Happened> {
    let mut happened = closed("close_unread", |server, client| {
        leave_unread(&server, client)?;
        drop(server);
        Ok(None)
    })?;
    // Nobody but MPTCP sees what its own queue holds.
    happened.ends = happened.ends.into_iter().map(|end| end.at_most(Confidence::Likely)).collect();
    Ok(happened)
}

fn linger_zero() -> anyhow::Result<Happened> {
    closed("linger_zero", |server, client| {
        leave_unread(&server, client)?;
        tcp::hear(&server, b"unread".len())?;
        setsockopt(&server, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
        drop(server);
        Ok(None)
    })
}

fn killed() -> anyhow::Result<Happened> {
    closed("process_killed", |server, client| {
        leave_unread(&server, client)?;
        let mut worker = Worker::fork(c"mptcp-worker", |inside| {
            inside.is_ready();
            inside.compute();
        })?;
        worker.wait_ready()?;
        // The worker's alone: so is the end.
        drop(server);
        let pid = worker.pid();
        worker.end(Signal::SIGKILL)?;
        Ok(Some(("mptcp-worker", pid)))
    })
}
