//! A RST that the kernel considers but does not send is not reported: at the entry of
//! `tcp_v{4,6}_send_reset` that is not decided yet.

use std::{
    fs::File,
    io::Write,
    net::{IpAddr, SocketAddr},
};

use etherparse::PacketBuilder;
use tracer::testbed::{host::Host, tun};

use crate::{
    mechanisms::runs,
    report::{Trace, of_kind},
};

/// Our host and its peer, in documentation ranges (RFC 5737, RFC 3849), and an address for all hosts.
const V4: [[u8; 4]; 3] = [[192, 0, 2, 2], [192, 0, 2, 1], [192, 0, 2, 255]];
const V6: [[u8; 16]; 3] = [
    [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
    [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
];

/// A segment from the peer to the host or to all hosts, as it comes from the wire.
fn inject(device: &mut File, family: &str, to_all: bool, rst: bool, port: u16) -> anyhow::Result<()> {
    let to = if to_all { 2 } else { 0 };
    let builder = match family {
        "ipv4" => PacketBuilder::ipv4(V4[1], V4[to], 64),
        _ => PacketBuilder::ipv6(V6[1], V6[to], 64),
    };
    let segment = builder.tcp(4399, port, 99, 1024);
    let segment = if rst { segment.rst() } else { segment.syn() };
    let mut packet = Vec::new();
    segment.write(&mut packet, &[])?;
    device.write_all(&packet)?;
    Ok(())
}

/// A host that got a RST, a SYN for all hosts, and a SYN for a closed port: only the last is answered.
pub(crate) struct Unanswered {
    peer: &'static str,
    /// The kernel's own count.
    out_rsts: u64,
}

impl Unanswered {
    /// Plays it over IPv4 and over IPv6, until the answer is reported.
    pub(crate) fn in_both_families(trace: &mut Trace) -> Vec<Self> {
        let families =
            [("ipv4", IpAddr::from(V4[0]), "192.0.2.1:4399"), ("ipv6", IpAddr::from(V6[0]), "[2001:db8::1]:4399")];
        let play = |(family, address, peer)| {
            let host = Host::new("host").unwrap();
            host.run(move || {
                let mut device = tun::open(address)?;
                inject(&mut device, family, false, true, 81)?;
                inject(&mut device, family, true, false, 82)?;
                inject(&mut device, family, false, false, 83)
            })
            .unwrap();
            let answer = SocketAddr::new(address, 83);
            trace.wait("the one RST", |event| event["event"] == "rst" && event["local"] == answer.to_string());
            Self { peer, out_rsts: host.out_rsts().unwrap() }
        };
        families.map(play).into()
    }
}

#[test]
#[ignore = "needs root"]
fn neither_a_rst_nor_a_segment_for_all_hosts_is_answered() {
    for run in runs() {
        for Unanswered { peer, out_rsts } in &run.unanswered {
            let here = of_kind(&run.objects, "rst").into_iter().filter(|rst| rst["remote"] == *peer).count();
            assert_eq!(here, 1, "{} {peer}", run.column);
            assert_eq!(*out_rsts, 1, "{peer}: the kernel's own count");
        }
    }
}
