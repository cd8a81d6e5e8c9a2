//! Connections, and attempts, that end without a segment.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd as _},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tracer::testbed::{host::Host, segment::Packet};

use super::{End, Happened, Situation};
use crate::{
    causes::puppet::{PEER, Peer, Puppet},
    peer,
};

pub(super) const ALL: &[Situation] = &[
    Situation { name: "of two attempts the slower one is closed", perform: overtaken },
    Situation { name: "a process is killed while it connects", perform: killed },
    Situation { name: "a connection is checkpointed", perform: checkpointed },
    Situation { name: "a connection is restored", perform: restored },
    Situation { name: "a process does not read", perform: unread },
];

/// Only the first has waited for long enough to be a finding.
fn overtaken() -> anyhow::Result<Happened> {
    let mut net = Puppet::new("overtaken")?;
    let (waited, _) = net.connect(Peer::new(PEER, 80, 47311))?;
    net.receive("the SYN again", Packet::is_syn)?;
    let (overtaken, _) = net.connect(Peer::new(PEER, 80, 47312))?;
    let end = local(&waited)?;
    net.host.run(move || {
        drop((waited, overtaken));
        Ok(())
    })?;
    Ok(Happened {
        netns: vec![net.host.netns()],
        alive: vec![Box::new(net)],
        ends: vec![
            End::died("connect_abandoned").local(end).says("gave up its connect").says("2 SYNs").times(1),
            End::closed("abandoned").times(2),
        ],
    })
}

fn killed() -> anyhow::Result<Happened> {
    let mut net = Puppet::new("killedsyn")?;
    let mut process = net.host.run(|| Ok(peer::Peer::start("impatient")))?;
    let pid = process.pid();
    process.tell(&format!("connect {PEER}:80"));
    for _ in 0..2 {
        net.receive("a SYN", Packet::is_syn)?;
    }
    process.kill();
    Ok(Happened {
        netns: vec![net.host.netns()],
        alive: vec![Box::new(net)],
        ends: vec![End::died("connect_abandoned").by("impatient", pid).says("killed by signal 9").times(1)],
    })
}

/// What the peer sends then meets no socket.
fn checkpointed() -> anyhow::Result<Happened> {
    let host = Host::new("checkpointed")?;
    let (server, near, far) = host.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        let (near, far) = (client.local_addr()?, client.peer_addr()?);
        repair(&client)?;
        drop(client);
        (&server).write_all(b"to nobody")?;
        Ok((server, near, far))
    })?;
    Ok(Happened {
        netns: vec![host.netns()],
        alive: vec![Box::new(server), Box::new(host)],
        ends: vec![
            End::closed("repair").local(near).field("opened", "active").times(1),
            End::sent("late_segment").local(near).says("in repair mode").times(1),
            End::received("late_segment").local(far).times(1),
        ],
    })
}

/// And taken away again: nothing of it is ever sent.
fn restored() -> anyhow::Result<Happened> {
    let host = Host::new("restored")?;
    let end = host.run(|| {
        let nobody: SocketAddr = "127.0.0.1:9".parse()?;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        repair(&socket)?;
        socket.connect(&nobody.into())?;
        local(&socket)
    })?;
    Ok(Happened {
        netns: vec![host.netns()],
        alive: vec![Box::new(host)],
        ends: vec![End::closed("repair").local(end).field("opened", "restored").times(1)],
    })
}

/// The one that should have read is named, not the one that sent.
fn unread() -> anyhow::Result<Happened> {
    let host = Host::new("unread")?;
    let (reader, sender, end) = host.run(|| {
        let mut reader = peer::Peer::start("reader");
        let listener: SocketAddr = reader.ask("listen 127.0.0.1:0").parse()?;
        let sender = TcpStream::connect(listener)?;
        reader.ask("accept");
        socket2::SockRef::from(&sender).set_tcp_user_timeout(Some(Duration::from_secs(2)))?;
        sender.set_nonblocking(true)?;
        while (&sender).write(&[0; 1 << 16]).is_ok() {}
        let end = sender.local_addr()?;
        Ok((reader, sender, end))
    })?;
    let pid = reader.pid();
    Ok(Happened {
        netns: vec![host.netns()],
        alive: vec![Box::new(reader), Box::new(sender), Box::new(host)],
        ends: vec![
            End::died("zero_window").local(end).by("reader", pid).says("did not read").times(1),
            End::closed("timeout").local(end).field("window_closed", true).times(1),
        ],
    })
}

fn local(socket: &Socket) -> anyhow::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| anyhow::anyhow!("no end of IP's"))
}

/// Puts a socket into repair mode (include/uapi/linux/tcp.h).
fn repair(socket: &impl AsFd) -> io::Result<()> {
    const TCP_REPAIR: libc::c_int = 19;
    let on: libc::c_int = 1;
    let (value, size) = ((&raw const on).cast(), size_of_val(&on) as libc::socklen_t);
    // SAFETY: an open descriptor, and a value of that size.
    let result = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), libc::IPPROTO_TCP, TCP_REPAIR, value, size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
