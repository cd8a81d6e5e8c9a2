//! SYNs that nobody takes. Loopback: both ends are on this host, and one RST is two events.

use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::ensure;
use socket2::{Domain, Socket, Type};
use tracer::testbed::{filter, host::Host};

use crate::{
    causes::{Lacks, Played, observation},
    report::is_observed,
};

/// Sent and received.
const RSTS: usize = 2;

/// Listens, and connects elsewhere, which must be refused.
fn refuse(listen: Option<Socket>, host: Host, to: &'static str) -> anyhow::Result<Played> {
    host.run(move || {
        let error = TcpStream::connect(to).err().and_then(|error| error.raw_os_error());
        ensure!(error == Some(libc::ECONNREFUSED), "{error:?}");
        Ok(())
    })?;
    Ok(Played { netns: vec![host.netns()], alive: vec![Box::new(host), Box::new(listen)], rsts: RSTS })
}

fn listen(host: &Host, at: &'static str) -> anyhow::Result<Socket> {
    host.run(move || {
        let at: SocketAddr = at.parse()?;
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&at.into())?;
        socket.listen(1)?;
        Ok(socket)
    })
}

pub(super) fn of_ipv4() -> anyhow::Result<Played> {
    refuse(None, Host::new("closed4")?, "127.0.0.1:47001")
}

pub(super) fn of_ipv6() -> anyhow::Result<Played> {
    refuse(None, Host::new("closed6")?, "[::1]:47002")
}

pub(super) fn other_address() -> anyhow::Result<Played> {
    let host = Host::new("otheraddress")?;
    let listener = listen(&host, "127.0.0.1:47003")?;
    refuse(Some(listener), host, "127.0.0.2:47003")
}

pub(super) fn other_namespace() -> anyhow::Result<Played> {
    let other = Host::new("othernetns")?;
    let listener = listen(&other, "0.0.0.0:47004")?;
    refuse(Some(listener), Host::new("thisnetns")?, "127.0.0.1:47004")
}

pub(super) fn ipv6_only() -> anyhow::Result<Played> {
    let host = Host::new("ipv6only")?;
    let listener = listen(&host, "[::]:47005")?;
    refuse(Some(listener), host, "127.0.0.1:47005")
}

pub(super) fn rejected() -> anyhow::Result<Played> {
    if !is_observed(observation(), "rst_firewall") {
        return Err(Lacks("RSTs of packet filters are not observed").into());
    }
    let host = Host::new("rejecter")?;
    let listener = host.run(|| {
        filter::reject_incoming()?;
        Ok(TcpListener::bind("127.0.0.1:47006")?)
    })?;
    refuse(Some(listener.into()), host, "127.0.0.1:47006")
}
