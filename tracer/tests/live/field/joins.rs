//! Which connection a RST is of, and whose it is where both ends are here.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    time::Instant,
};

use anyhow::ensure;
use socket2::{Domain, Socket, Type};
use tracer::{
    event::{Confidence, Flags, TcpState},
    host::sock_diag::{self, TcpSocket},
    testbed::{filter, forge::Forger, host::Host, tcp},
};

use super::{
    End, Happened, Situation,
    router::{BEHIND, NOBODY, Router, SERVICE},
};
use crate::{
    causes::{
        self, Lacks, TIMEOUT,
        puppet::{self, PEER, Peer, Puppet},
    },
    wait::until,
};

pub(super) const ALL: &[Situation] = &[
    Situation { name: "a server behind a translated address closes with data unread", perform: unread_behind_one },
    Situation {
        name: "a server closes with data unread, and both addresses are translated",
        perform: unread_behind_two,
    },
    Situation { name: "nothing listens behind a translated address", perform: closed_behind_one },
    Situation { name: "nothing listens, and both addresses are translated", perform: closed_behind_two },
    Situation { name: "translation of an address and a port is lost", perform: lost },
    Situation { name: "two namespaces have the same connection over loopback", perform: same_ends },
    Situation { name: "a client uses one port for three connections, which are reset", perform: port_used_again },
    Situation { name: "two RSTs come for one connection", perform: two_come },
    Situation { name: "two RSTs come while the process is at work on the socket", perform: two_at_work },
    Situation { name: "what was closed here is reset while it waits for the peer's FIN", perform: in_fin_wait2 },
    Situation { name: "what was closed here is reset before its FIN is acknowledged", perform: in_fin_wait1 },
    Situation { name: "data comes for what was closed here", perform: data_in_fin_wait1 },
    Situation { name: "data comes after shutdown() of both directions", perform: data_after_shutdown },
    Situation { name: "a server has a port above its clients', and closes many connections", perform: high_port },
    Situation { name: "probes without ACK, by a process that is here", perform: probes },
    Situation { name: "a rule rejects the segments of a connection", perform: rejected },
    Situation { name: "a rule rejects a connect", perform: refused },
];

fn behind() -> SocketAddr {
    SocketAddr::V4(BEHIND)
}

fn v4_of(socket: &Socket) -> anyhow::Result<SocketAddr> {
    Ok(socket.local_addr()?.as_socket().expect("an IP socket"))
}

/// Bytes that wait to be read, 16 of them at most.
fn waiting(socket: &Socket) -> anyhow::Result<usize> {
    Ok(socket.peek(&mut [std::mem::MaybeUninit::uninit(); 16])?)
}

/// A server that is found at another address closes what it has not read.
fn unread(router: Router) -> anyhow::Result<Happened> {
    let listener = router.server.run(|| tcp::listening(behind(), TIMEOUT))?;
    let client = router.client.run(|| {
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let client = tcp::connecting(any, SocketAddr::V4(SERVICE), TIMEOUT)?;
        tcp::connected(&client)??;
        tcp::say(&client, b"unread")?;
        Ok(client)
    })?;
    let server = tcp::accept(&listener)?;
    until("the data", || Ok(waiting(&server)? == 6))?;
    let near = v4_of(&client)?;
    router.server.run(move || {
        drop(server);
        Ok(())
    })?;
    until("the RST", || Ok(client.take_error()?.is_some()))?;
    let place = format!("on this host as {BEHIND}, in netns {}", router.server.netns());
    let ends = vec![
        End::sent("close_unread").local(behind()).says("with 6 bytes unread").times(1),
        End::received("close_unread").local(near).says(place).says("with 6 bytes unread").times(1),
    ];
    let netns = vec![router.client.netns(), router.server.netns()];
    Ok(Happened { netns, alive: vec![Box::new((client, listener, router))], ends })
}

fn unread_behind_one() -> anyhow::Result<Happened> {
    unread(Router::between(["dnat-client", "dnat-server"], BEHIND, false)?)
}

fn unread_behind_two() -> anyhow::Result<Happened> {
    unread(Router::between(["nat-client", "nat-server"], BEHIND, true)?)
}

/// Nothing listens at the address that a SYN ends up at.
fn closed(router: Router, at_most: Confidence) -> anyhow::Result<Happened> {
    let client = router.client.run(|| {
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let client = tcp::connecting(any, SocketAddr::V4(SERVICE), TIMEOUT)?;
        ensure!(tcp::connected(&client)?.is_err(), "the SYN was refused");
        Ok(client)
    })?;
    let says = format!("nothing listens on {NOBODY}");
    let ends = vec![
        End::sent("closed_port").local(SocketAddr::V4(NOBODY)).says(says.as_str()).times(1),
        End::received("closed_port").remote(SocketAddr::V4(SERVICE)).says(says).at_most(at_most).times(1),
    ];
    let netns = vec![router.client.netns(), router.server.netns()];
    Ok(Happened { netns, alive: vec![Box::new((client, router))], ends })
}

fn closed_behind_one() -> anyhow::Result<Happened> {
    closed(Router::between(["dnat-refused", "dnat-closed"], NOBODY, false)?, Confidence::Certain)
}

/// One number is all that the two have in common.
fn closed_behind_two() -> anyhow::Result<Happened> {
    closed(Router::between(["nat-refused", "nat-closed"], NOBODY, true)?, Confidence::Likely)
}

/// What the server sends reaches the client as from itself, and not as from the service.
fn lost() -> anyhow::Result<Happened> {
    let router = Router::between(["lost-client", "lost-server"], BEHIND, false)?;
    let listener = router.server.run(|| tcp::listening(behind(), TIMEOUT))?;
    let client = router.client.run(|| {
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let client = tcp::connecting(any, SocketAddr::V4(SERVICE), TIMEOUT)?;
        tcp::connected(&client)??;
        Ok(client)
    })?;
    let server = tcp::accept(&listener)?;
    router.forget();
    let server = router.server.run(move || {
        tcp::say(&server, b"late")?;
        Ok(server)
    })?;
    until("the RST", || Ok(server.take_error()?.is_some()))?;
    let says = format!("{} with {SERVICE}", v4_of(&client)?);
    let told = |end: End| end.says(says.as_str()).at_most(Confidence::Likely).times(1);
    let ends =
        vec![told(End::sent("nat_state_lost").remote(behind())), told(End::received("nat_state_lost").local(behind()))];
    let netns = vec![router.client.netns(), router.server.netns()];
    Ok(Happened { netns, alive: vec![Box::new((client, server, listener, router))], ends })
}

const ONE_PORT: u16 = 44444;

/// A connection over loopback, with a port of its own at each end.
fn over_loopback() -> anyhow::Result<(Socket, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 15001))?;
    let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    client.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, ONE_PORT)).into())?;
    client.connect(&listener.local_addr()?.into())?;
    Ok((client, listener.accept()?.0))
}

/// In one the server closes with data unread; in the other somebody injects a RST at once.
fn same_ends() -> anyhow::Result<Happened> {
    let (one, other) = (Host::new("same-unread")?, Host::new("same-injected")?);
    let clients = one.run(|| {
        let (client, server) = over_loopback()?;
        (&client).write_all(b"unread")?;
        server.peek(&mut [0])?;
        drop(server);
        until("the RST", || Ok(client.take_error()?.is_some()))?;
        Ok(client)
    })?;
    let injected = other.run(|| {
        let (client, mut server) = over_loopback()?;
        let (near, far) = (v4_of(&client)?, server.local_addr()?);
        let forger = Forger::open(far, near)?;
        (&client).write_all(b"heard")?;
        server.write_all(b"overheard")?;
        let heard = forger.receive(Flags::ACK, Instant::now() + TIMEOUT)?;
        until("the answer", || Ok(waiting(&client)? == 9))?;
        // What the client's first segment acknowledged, and what it was sent since.
        forger.send(Flags::RST, heard.ack.wrapping_add(9), 0, &[])?;
        until("the RST", || Ok(client.take_error()?.is_some()))?;
        Ok((client, server, forger))
    })?;
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, ONE_PORT));
    let ends = vec![
        End::sent("close_unread").in_netns(one.netns()).times(1),
        End::received("close_unread").in_netns(one.netns()).local(client).times(1),
        End::received("injected")
            .in_netns(other.netns())
            .local(client)
            .by("same-injected", std::process::id())
            .times(1),
    ];
    let netns = vec![one.netns(), other.netns()];
    Ok(Happened { netns, alive: vec![Box::new((clients, injected, one, other))], ends })
}

/// Each connection has numbers of its own, above those of the one before.
fn port_used_again() -> anyhow::Result<Happened> {
    let mut net = Puppet::new("used-again")?;
    let listener = net.listen(47501)?;
    let mut sockets = Vec::new();
    for life in 0..3 {
        let peer = Peer::new(PEER, 4321, 47501);
        let (peer, socket) = net.establish(&listener, Peer { seq: peer.seq + life * 2_000_000, ..peer })?;
        net.send(peer, Flags::RST, &[])?;
        until("the RST", || Ok(tcp::state(&socket)? == TcpState::CLOSE))?;
        sockets.push(socket);
    }
    let ends = vec![End::received("reset_by_peer").times(3)];
    let netns = vec![net.host.netns()];
    Ok(Happened { netns, alive: vec![Box::new((sockets, listener, net))], ends })
}

/// The second comes when the first has reset the socket.
fn two_come() -> anyhow::Result<Happened> {
    let mut net = Puppet::new("two-come")?;
    let listener = net.listen(47502)?;
    let (peer, socket) = net.establish(&listener, Peer::new(PEER, 4322, 47502))?;
    net.send(peer, Flags::RST, &[])?;
    net.send(peer, Flags::RST, &[])?;
    until("the RST", || Ok(tcp::state(&socket)? == TcpState::CLOSE))?;
    let mut ends = vec![End::received("reset_by_peer").times(1)];
    if shows_what_sockets_drop() {
        // At the listener, where the socket is gone.
        ends.push(End::stray("rst_without_socket").or("rst_at_listener").or("rst_of_request").or("stray").times(1));
    }
    let netns = vec![net.host.netns()];
    Ok(Happened { netns, alive: vec![Box::new((socket, listener, net))], ends })
}

/// Before 5.17 a RST that the kernel drops for a socket, a listener's among them, is not seen.
fn shows_what_sockets_drop() -> bool {
    !causes::observation()["degraded"].to_string().contains("stray RSTs without a connection only")
}

/// Before 6.12 the socket that drops a RST is not seen.
fn shows_who_drops() -> bool {
    !causes::observation()["degraded"].to_string().contains("does not see which socket a stray RST was for")
}

/// Two segments find the peer closed. Their RSTs wait until write() is done with the socket, which the first one
/// resets then.
fn two_at_work() -> anyhow::Result<Happened> {
    let host = Host::new("two-at-work")?;
    let (client, near) = host.run(|| {
        let (client, server) = crate::report::connection();
        let near = client.local_addr()?;
        drop(server);
        let client = Socket::from(client);
        until("the FIN", || Ok(tcp::state(&client)? == TcpState::CLOSE_WAIT))?;
        // It may be reset before all is written.
        let _ = (&client).write_all(&vec![0; 100_000]);
        until("the RST", || Ok(tcp::state(&client)? == TcpState::CLOSE))?;
        Ok((client, near))
    })?;
    let told = |end: fn(&'static str) -> End| end("data_after_close").or("late_segment");
    let mut ends = vec![told(End::sent).remote(near), told(End::received).local(near).times(1)];
    // One that has waited has neither a device nor a route any more: without its socket nobody knows whose it is.
    if shows_what_sockets_drop() && shows_who_drops() {
        ends.push(told(End::stray).local(near));
    }
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new((client, host))], ends })
}

/// The peer closes with a byte unread when the local side has closed.
fn in_fin_wait2() -> anyhow::Result<Happened> {
    let host = Host::new("fin-wait2")?;
    let (near, far) = host.run(|| {
        let (mut client, server) = crate::report::connection();
        client.write_all(b"x")?;
        let ends = (client.local_addr()?, server.local_addr()?);
        server.peek(&mut [0])?;
        drop(client);
        let waits = |socket: TcpSocket| socket.state == TcpState::FIN_WAIT2;
        until("FIN_WAIT2", || Ok(sock_diag::lookup(ends.0, ends.1)?.is_some_and(waits)))?;
        drop(server);
        Ok(ends)
    })?;
    let own = End::stray("close_unread").local(near).says("closed the socket with 1 bytes unread");
    let ends = vec![End::sent("close_unread").local(far).times(1), own.times(1)];
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new(host)], ends })
}

/// A RST, and not data, ends what had sent its FIN.
fn in_fin_wait1() -> anyhow::Result<Happened> {
    let mut net = Puppet::new("reset-late")?;
    let listener = net.listen(47503)?;
    let (peer, socket) = net.establish(&listener, Peer::new(PEER, 4323, 47503))?;
    socket.shutdown(Shutdown::Write)?;
    net.receive("a FIN", |packet| packet.segment.flags.contains(Flags::FIN))?;
    net.send(peer, Flags::RST, &[])?;
    until("the RST", || Ok(tcp::state(&socket)? == TcpState::CLOSE))?;
    let here = v4_of(&socket)?;
    let ends =
        vec![End::received("reset_after_close").local(here).times(1), End::closed("rst_received").local(here).times(1)];
    let netns = vec![net.host.netns()];
    Ok(Happened { netns, alive: vec![Box::new((socket, listener, net))], ends })
}

/// The twin: the RST is the local side's.
fn data_in_fin_wait1() -> anyhow::Result<Happened> {
    let mut net = Puppet::new("data-late")?;
    let listener = net.listen(47504)?;
    let (peer, socket) = net.establish(&listener, Peer::new(PEER, 4324, 47504))?;
    let here = v4_of(&socket)?;
    drop(socket);
    net.receive("a FIN", |packet| packet.segment.flags.contains(Flags::FIN))?;
    net.send(peer, puppet::ACK, b"late")?;
    net.receive_rst()?;
    let ends = vec![End::sent("data_after_close").local(here).times(1), End::closed("rst_sent").local(here).times(1)];
    let netns = vec![net.host.netns()];
    Ok(Happened { netns, alive: vec![Box::new((listener, net))], ends })
}

/// Not closed: the process still has the socket.
fn data_after_shutdown() -> anyhow::Result<Happened> {
    let mut net = Puppet::new("data-shut")?;
    let listener = net.listen(47506)?;
    let (peer, socket) = net.establish(&listener, Peer::new(PEER, 4326, 47506))?;
    let here = v4_of(&socket)?;
    socket.shutdown(Shutdown::Both)?;
    net.receive("a FIN", |packet| packet.segment.flags.contains(Flags::FIN))?;
    net.send(peer, puppet::ACK, b"late")?;
    net.receive_rst()?;
    let ends = vec![
        End::sent("data_after_close").local(here).says("had already shut down both directions").times(1),
        End::closed("rst_sent").local(here).times(1),
    ];
    let netns = vec![net.host.netns()];
    Ok(Happened { netns, alive: vec![Box::new((socket, listener, net))], ends })
}

/// More of them than are found by one port (see recent.rs of the programs).
fn high_port() -> anyhow::Result<Happened> {
    const CLIENTS: u16 = 24;
    let host = Host::new("high-port")?;
    let (clients, ends) = host.run(|| {
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, 65000));
        let listener = tcp::listening(place, TIMEOUT)?;
        let mut pairs = Vec::new();
        for port in 20000..20000 + CLIENTS {
            let client = tcp::connecting(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), place, TIMEOUT)?;
            tcp::connected(&client)??;
            pairs.push((client, tcp::accept(&listener)?));
        }
        let mut ends = Vec::new();
        let mut clients = Vec::new();
        for (client, server) in pairs {
            drop(server);
            until("the FIN", || Ok(tcp::state(&client)? == TcpState::CLOSE_WAIT))?;
            tcp::say(&client, b"late")?;
            until("the RST", || Ok(tcp::state(&client)? == TcpState::CLOSE))?;
            let near = v4_of(&client)?;
            ends.push(End::sent("data_after_close").remote(near).says("had already closed").times(1));
            ends.push(End::received("data_after_close").local(near).times(1));
            clients.push(client);
        }
        Ok((clients, ends))
    })?;
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new((clients, host))], ends })
}

/// FIN, Xmas and NULL, and an ACK of nothing.
fn probes() -> anyhow::Result<Happened> {
    const PROBES: [Flags; 4] = [Flags(1), Flags(0x29), Flags(0), Flags::ACK];
    let host = Host::new("scanner")?;
    let forger = host.run(|| {
        let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let forger = Forger::open(at(40001), at(9))?;
        for (seq, flags) in (100..).step_by(100).zip(PROBES) {
            forger.send(flags, seq, 77, &[])?;
            forger.receive(Flags::RST, Instant::now() + TIMEOUT)?;
        }
        Ok(forger)
    })?;
    let told = |end: End| end.by("scanner", std::process::id()).times(PROBES.len());
    let ends = vec![told(End::sent("scan_probe")), told(End::stray("scan_probe"))];
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new((forger, host))], ends })
}

/// What is told where a rule of this host rejects: surely, and of both ways, where the kernel shows that.
fn by_a_rule(received: End) -> Vec<End> {
    match causes::observation()["probes"]["rst_firewall"].is_null() {
        true => vec![received.at_most(Confidence::Likely).times(1)],
        false => vec![received, End::sent("firewall_reject")],
    }
}

fn reject() -> anyhow::Result<()> {
    filter::reject_incoming().map_err(|error| match error.to_string().contains("cannot") {
        true => Lacks("a packet filter that rejects").into(),
        false => error,
    })
}

/// Both ends live, and no kernel resets.
fn rejected() -> anyhow::Result<Happened> {
    let host = Host::new("rejected")?;
    let (client, server) = host.run(|| {
        let (mut client, server) = crate::report::connection();
        reject()?;
        client.write_all(b"refused")?;
        let client = Socket::from(client);
        until("the RST", || Ok(client.take_error()?.is_some()))?;
        Ok((client, server))
    })?;
    let received = End::received("firewall_reject").local(v4_of(&client)?);
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new((client, server, host))], ends: by_a_rule(received) })
}

/// The server listens, and the SYN does not come to it.
fn refused() -> anyhow::Result<Happened> {
    let host = Host::new("syn-rejected")?;
    let (listener, address) = host.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        reject()?;
        ensure!(TcpStream::connect(address).is_err(), "the SYN was refused");
        Ok((listener, address))
    })?;
    let received = End::received("firewall_reject").remote(address);
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new((listener, host))], ends: by_a_rule(received) })
}
