//! Handshakes of which a segment is lost, so that it is retransmitted: the test is the peer.

use std::{fs::File, io::Write as _, net::SocketAddr, time::Duration};

use etherparse::PacketBuilder;
use serde_json::Value;
use tracer::testbed::{host::Host, segment::Packet, tcp, tun};

use crate::{cable, report::Trace, wait::until};

/// The host and the end that this test plays: addresses of TEST-NET-1 (RFC 5737).
const HOST: [u8; 4] = [192, 0, 2, 2];
const TEST: [u8; 4] = [192, 0, 2, 1];
const TIMEOUT: Duration = Duration::from_secs(20);
/// Of the segments that this test sends.
const SEQ: u32 = 1000;
const WINDOW: u16 = 1024;

#[test]
#[ignore = "needs root"]
fn a_handshake_segment_that_is_sent_again_is_counted() {
    let host = Host::new("patient").unwrap();
    let mut trace = Trace::shared();
    host.run(|| {
        let cable = tun::open(HOST.into())?;
        let sockets = (connect(&cable)?, accept(&cable)?);
        drop(sockets);
        Ok(())
    })
    .unwrap();
    for (how, local) in [("active", "192.0.2.2:1234"), ("passive", "192.0.2.2:80")] {
        // Inodes of namespaces are used again.
        let is_here = |event: &Value| event["netns"] == host.netns() && event["local"] == local;
        let is_so = |event: &Value| event["event"] == "open" && event["opened"] == how && is_here(event);
        let open = trace.wait(how, is_so);
        assert!(open["syn_retransmits"].as_u64() >= Some(1), "{open:#}");
        assert!(open["rtt_us"].is_null(), "which of the two was answered? {open:#}");
    }
}

/// The host connects; its second SYN is answered.
fn connect(cable: &File) -> anyhow::Result<socket2::Socket> {
    let (local, remote) = (SocketAddr::from((HOST, 1234)), SocketAddr::from((TEST, 9)));
    let socket = tcp::connecting(local, remote, TIMEOUT)?;
    next(cable, Packet::is_syn)?;
    let syn = next(cable, Packet::is_syn)?;
    let answer = PacketBuilder::ipv4(TEST, HOST, 64).tcp(9, 1234, SEQ, WINDOW).syn().ack(syn.segment.seq + 1);
    send(cable, answer)?;
    tcp::connected(&socket)??;
    Ok(socket)
}

/// The host accepts; its second SYN+ACK is acknowledged.
fn accept(cable: &File) -> anyhow::Result<socket2::Socket> {
    let listener = tcp::listening((HOST, 80).into(), TIMEOUT)?;
    let from_client = |seq| PacketBuilder::ipv4(TEST, HOST, 64).tcp(4321, 80, seq, WINDOW);
    send(cable, from_client(SEQ).syn())?;
    next(cable, Packet::is_syn_ack)?;
    let again = next(cable, Packet::is_syn_ack)?;
    // It sends, and then it counts.
    until("the kernel has counted", || Ok(has_timed_out()?))?;
    send(cable, from_client(SEQ + 1).ack(again.segment.seq + 1))?;
    tcp::accept(&listener)
}

/// A handshake of this namespace's has sent its SYN+ACK again (`num_timeout` of proc_net_tcp(5)'s request sockets).
fn has_timed_out() -> std::io::Result<bool> {
    const SYN_RECV: &str = "03";
    let sockets = std::fs::read_to_string("/proc/thread-self/net/tcp")?;
    Ok(sockets.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>()).any(|fields| {
        fields.get(3) == Some(&SYN_RECV) && fields.get(6).is_some_and(|count| count.bytes().any(|digit| digit != b'0'))
    }))
}

/// The next segment of the kind that the host sends.
fn next(cable: &File, wanted: fn(&Packet) -> bool) -> anyhow::Result<Packet> {
    cable::next(cable, TIMEOUT, "a segment of the handshake", wanted)
}

fn send(mut cable: &File, segment: etherparse::PacketBuilderStep<etherparse::TcpHeader>) -> anyhow::Result<()> {
    let mut packet = Vec::new();
    segment.write(&mut packet, &[])?;
    Ok(cable.write_all(&packet)?)
}
