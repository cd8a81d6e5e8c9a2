//! `tracer trace`, of connections that this test makes on loopback.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
};

use etherparse::PacketBuilder;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use tracer::testbed::host::Host;

use crate::{
    ends,
    report::{Trace, abort, connection, of_kind},
};

/// Events of one end of a connection. Both ports are asked: one alone another test may have had a moment ago, or have
/// at the same time with another peer.
fn is_of((local, remote): (SocketAddr, SocketAddr)) -> impl Fn(&Value) -> bool {
    let (local, remote) = (local.to_string(), remote.to_string());
    move |object| object["local"] == local && object["remote"] == remote
}

fn state(ends: (SocketAddr, SocketAddr), new: &str) -> impl Fn(&Value) -> bool {
    let (is_ours, new) = (is_of(ends), new.to_owned());
    move |object| object["event"] == "state" && object["new"] == *new && is_ours(object)
}

fn rst(ends: (SocketAddr, SocketAddr), direction: &str) -> impl Fn(&Value) -> bool {
    let (is_ours, direction) = (is_of(ends), direction.to_owned());
    move |object| object["event"] == "rst" && object["direction"] == *direction && is_ours(object)
}

fn path(objects: &[Value], is_ours: impl Fn(&Value) -> bool) -> Vec<String> {
    let states = of_kind(objects, "state").into_iter().filter(|event| is_ours(event));
    states.map(|event| format!("{} {}", event["old"].as_str().unwrap(), event["new"].as_str().unwrap())).collect()
}

#[test]
#[ignore = "needs root"]
fn an_ordinary_connection_is_followed_on_both_ends() {
    let mut trace = Trace::shared();
    let (mut client, mut server) = connection();
    let clients = (client.local_addr().unwrap(), server.local_addr().unwrap());
    let servers = (clients.1, clients.0);
    client.write_all(b"hello").unwrap();
    let mut hello = [0; 5];
    server.read_exact(&mut hello).unwrap();
    drop(client);
    assert_eq!(server.read(&mut hello).unwrap(), 0);
    drop(server);
    trace.wait("the server's end", state(servers, "CLOSE"));
    trace.wait("the client's end", state(clients, "CLOSE"));
    let objects = trace.so_far();
    assert_eq!(
        path(objects, is_of(clients)),
        ["SYN_SENT ESTABLISHED", "ESTABLISHED FIN_WAIT1", "FIN_WAIT1 FIN_WAIT2", "FIN_WAIT2 CLOSE"],
        "the source port is not known before"
    );
    // Its listener and its first change may have no remote end; nobody else gets its port while it has it.
    let mut server = path(objects, |event| event["local"] == servers.0.to_string());
    server.retain(|step| step != "LISTEN CLOSE");
    assert_eq!(
        server,
        [
            "CLOSE LISTEN",
            "LISTEN SYN_RECV",
            "SYN_RECV ESTABLISHED",
            "ESTABLISHED CLOSE_WAIT",
            "CLOSE_WAIT LAST_ACK",
            "LAST_ACK CLOSE"
        ]
    );
    let mut cookies: Vec<_> =
        objects.iter().filter(|event| is_of(clients)(event)).map(|event| &event["cookie"]).collect();
    cookies.dedup();
    assert_eq!(cookies.len(), 1, "one socket, one cookie");
}

#[test]
#[ignore = "needs root"]
fn a_refused_connect_is_one_rst_at_each_end() {
    let mut trace = Trace::shared();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    client.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let clients = (client.local_addr().unwrap().as_socket().unwrap(), closed);
    let theirs = (clients.1, clients.0);
    assert!(client.connect(&closed.into()).is_err());
    let sent = trace.wait("the RST", rst(theirs, "sent"));
    assert_eq!(sent["kind"], "passive");
    assert_eq!(sent["socket"], false);
    assert_eq!(sent["trigger"]["flags"].as_str().unwrap().split('|').next(), Some("SYN"), "{sent:#}");
    assert_eq!(sent["trigger"]["len"], 0);
    assert_eq!(sent["trigger"]["ttl"], 64);
    trace.wait("its arrival", rst(clients, "received"));
    let rsts = of_kind(trace.so_far(), "rst");
    let count = |ends| rsts.iter().filter(|rst| is_of(ends)(rst)).count();
    assert_eq!((count(clients), count(theirs)), (1, 1), "each exactly once");
}

#[test]
#[ignore = "needs root"]
fn an_abort_is_an_active_rst_of_the_process_that_closed() {
    let mut trace = Trace::shared();
    let mut play = || {
        let (local, server) = abort();
        let sent = trace.wait("the RST", rst((local, server), "sent"));
        (sent, trace.wait("its arrival", rst((server, local), "received")))
    };
    let (mut sent, mut received) = play();
    // A kernel that may preempt a program does not start it for another task meanwhile, and so its change to CLOSE may
    // not be seen; that is counted as skipped.
    for _ in 0..2 {
        if sent["closed_from"].is_null() {
            println!("the change to CLOSE was skipped: {sent:#}");
            (sent, received) = play();
        }
    }
    drop(trace);
    assert_eq!(sent["kind"], "active");
    assert_eq!(sent["closed_from"], "ESTABLISHED");
    assert_eq!(sent["context"], "process");
    assert_eq!(sent["task"]["pid"], std::process::id());
    assert!(sent["trigger"].is_null());
    assert_eq!(received["kind"], "peer");
    assert_eq!(received["socket"], true);
}

#[test]
#[ignore = "needs root"]
fn a_v4_mapped_connection_is_ipv4() {
    let mut trace = Trace::shared();
    let listener = TcpListener::bind("[::]:0").unwrap();
    let server = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
    let client = TcpStream::connect(server).unwrap();
    let child = trace.wait("the child", state((server, client.local_addr().unwrap()), "ESTABLISHED"));
    drop(trace);
    assert_eq!(child["family"], "ipv4", "{child:#}");
}

#[test]
#[ignore = "needs root"]
fn a_segment_from_a_packet_socket_is_reported_with_its_sender() {
    let mut trace = Trace::shared();
    let host = Host::new("injector").unwrap();
    host.run(|| {
        // Addresses of TEST-NET-1 (RFC 5737), on the loopback device of a namespace of our own.
        let mut packet = Vec::new();
        PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .tcp(4321, 80, 99, 1024)
            .rst()
            .write(&mut packet, &[])?;
        let protocol = Protocol::from(i32::from((libc::ETH_P_IP as u16).to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
        let lo = LinkAddress { protocol: (libc::ETH_P_IP as u16).to_be(), interface: 1 };
        lo.send(&socket, &packet)
    })
    .unwrap();
    let sent = trace.wait("the segment", |event| event["event"] == "raw_send" && event["local"] == "192.0.2.1:4321");
    drop(trace);
    assert_eq!((&sent["via"], &sent["flags"], &sent["seq"]), (&"packet".into(), &"RST".into(), &99.into()), "{sent:#}");
    assert_eq!(sent["task"]["comm"], "injector");
    assert_eq!(sent["netns"], host.netns());
}

/// Where a packet socket sends to, see packet(7).
struct LinkAddress {
    /// Network byte order.
    protocol: u16,
    interface: i32,
}

impl LinkAddress {
    fn send(&self, socket: &Socket, packet: &[u8]) -> anyhow::Result<()> {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: self.protocol,
            sll_ifindex: self.interface,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: both pointers and lengths are those of live values of these types.
        let sent = unsafe {
            libc::sendto(
                socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as u32,
            )
        };
        anyhow::ensure!(sent == packet.len() as isize, std::io::Error::last_os_error());
        Ok(())
    }
}

#[test]
#[ignore = "needs root"]
fn a_connection_is_not_named_for_its_ports_alone() {
    let host = Host::new("near").unwrap();
    let trace = Trace::start(&["--netns", &host.netns().to_string(), "-e", "rst"]);
    let end = |text: &str| text.parse::<SocketAddr>().unwrap();
    let (tried, connected) = (end("127.0.0.2:1000"), end("127.0.0.2:1001"));
    host.run(move || {
        ends::refused(end("127.0.0.1:1000"), end("127.0.0.1:9"));
        ends::refused(end("127.0.0.1:9"), tried);
        ends::exchange(end("127.0.0.1:1001"), end("127.0.0.1:7"));
        ends::refused(end("127.0.0.1:7"), connected);
        Ok(())
    })
    .unwrap();
    let objects = trace.stop();
    let near = |local: SocketAddr| {
        let is_it = |event: &&Value| event["local"] == local.to_string() && event["direction"] == "sent";
        of_kind(&objects, "rst").into_iter().find(is_it).unwrap()["near"].clone()
    };
    // A SYN has no number of theirs.
    assert_eq!([near(tried), near(connected)], [Value::Null, Value::Null]);
}
