//! What was on the wire, by the capture that `tracer demo --pcap` takes with packet sockets: a witness
//! apart from the probes.

use std::{fs::File, net::SocketAddr, path::Path};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pcap_file::pcapng::{Block, PcapNgReader, blocks::interface_description::InterfaceDescriptionOption};

/// A TCP segment, at the host that sent it.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) scenario: String,
    pub(crate) netns: u64,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) syn: bool,
    pub(crate) ack: bool,
    pub(crate) rst: bool,
    pub(crate) seq: u32,
}

/// Reads a capture; none of its frames may have been dropped.
pub(crate) fn read(path: &Path) -> Vec<Segment> {
    let mut reader = PcapNgReader::new(File::open(path).expect("the capture is there")).expect("it is pcapng");
    let mut interfaces = Vec::new();
    let mut segments = Vec::new();
    while let Some(block) = reader.next_block() {
        match block.expect("a whole block") {
            Block::InterfaceDescription(interface) => interfaces.push(origin(&interface.options)),
            Block::EnhancedPacket(packet) => {
                let (scenario, netns) = interfaces[packet.interface_id as usize].clone();
                segments.push(segment(scenario, netns, &packet.data));
            }
            Block::InterfaceStatistics(statistics) => {
                let text = format!("{statistics:?}");
                assert!(text.contains("IsbOsDrop(0)"), "the capture is complete: {text}");
            }
            _ => {}
        }
    }
    segments
}

/// Scenario and namespace inode: the interface is `SCENARIO/HOST`, described as `netns INODE`.
fn origin(options: &[InterfaceDescriptionOption<'_>]) -> (String, u64) {
    let mut scenario = String::new();
    let mut netns = 0;
    for option in options {
        match option {
            InterfaceDescriptionOption::IfName(name) => {
                scenario = name.split('/').next().unwrap_or_default().to_owned();
            }
            InterfaceDescriptionOption::IfDescription(text) => {
                netns = text.trim_start_matches("netns ").parse().expect("an inode");
            }
            _ => {}
        }
    }
    (scenario, netns)
}

fn segment(scenario: String, netns: u64, bytes: &[u8]) -> Segment {
    let packet = SlicedPacket::from_ip(bytes).expect("an IP packet");
    let (source, destination) = match packet.net {
        Some(NetSlice::Ipv4(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        Some(NetSlice::Ipv6(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        other => panic!("{other:?} in the capture"),
    };
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("not TCP: {:?}", packet.transport) };
    Segment {
        scenario,
        netns,
        source: SocketAddr::new(source, tcp.source_port()),
        destination: SocketAddr::new(destination, tcp.destination_port()),
        syn: tcp.syn(),
        ack: tcp.ack(),
        rst: tcp.rst(),
        seq: tcp.sequence_number(),
    }
}
