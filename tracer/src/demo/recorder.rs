//! Keeps captures as a pcapng file (draft-ietf-opsawg-pcapng), for other tools and for the tests.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use pcap_file::{
    DataLink,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::EnhancedPacketBlock,
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
            interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption},
        },
    },
};

use crate::{
    host::new_file,
    testbed::capture::{Capture, Frame, SNAPLEN},
};

/// Writes captures to a pcapng file, one interface for each host of each scenario.
///
/// The interface is named `SCENARIO/HOST`; its description is `netns INODE`, and its statistics carry
/// the count of lost frames.
pub struct Recorder<W: Write> {
    file: PcapNgWriter<W>,
}

impl Recorder<BufWriter<File>> {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(path: &Path, force: bool) -> anyhow::Result<Self> {
        let file =
            new_file::create(path, force).with_context(|| format!("cannot write the capture to {}", path.display()))?;
        Self::new(BufWriter::new(file))
    }
}

impl<W: Write> Recorder<W> {
    /// Starts a pcapng section.
    ///
    /// # Errors
    /// `file` cannot be written.
    pub fn new(file: W) -> anyhow::Result<Self> {
        Ok(Self { file: PcapNgWriter::new(file).context("cannot write the capture")? })
    }

    /// Adds what a scenario's hosts sent, in the order of time.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, scenario: &str, captures: &[Capture]) -> anyhow::Result<()> {
        self.append(scenario, captures).context("cannot write the capture")
    }

    /// Ends the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> anyhow::Result<()> {
        self.file.into_inner().flush().context("cannot write the capture")
    }

    fn append(&mut self, scenario: &str, captures: &[Capture]) -> pcap_file::PcapResult<()> {
        let first = self.file.interfaces().len() as u32;
        for capture in captures {
            self.file.write_pcapng_block(InterfaceDescriptionBlock {
                linktype: DataLink::RAW,
                snaplen: SNAPLEN,
                options: vec![
                    InterfaceDescriptionOption::IfName(format!("{scenario}/{}", capture.host).into()),
                    InterfaceDescriptionOption::IfDescription(format!("netns {}", capture.netns).into()),
                    // Timestamps in units of 10^-9 s.
                    InterfaceDescriptionOption::IfTsResol(9),
                ],
            })?;
        }
        let mut frames: Vec<(u32, &Frame)> = (first..)
            .zip(captures)
            .flat_map(|(interface, capture)| capture.frames.iter().map(move |frame| (interface, frame)))
            .collect();
        frames.sort_by_key(|(_, frame)| frame.time);
        for (interface_id, frame) in frames {
            self.file.write_pcapng_block(EnhancedPacketBlock {
                interface_id,
                timestamp: frame.time,
                original_len: frame.packet.bytes.len() as u32,
                data: frame.packet.bytes.as_slice().into(),
                options: vec![],
            })?;
        }
        for (interface_id, capture) in (first..).zip(captures) {
            let end = capture.frames.last().map_or(Duration::ZERO, |frame| frame.time).as_nanos() as u64;
            self.file.write_pcapng_block(InterfaceStatisticsBlock {
                interface_id,
                // The block has the high half of the timestamp first (pcapng section 4.6).
                timestamp: end.rotate_left(32),
                options: vec![InterfaceStatisticsOption::IsbOsDrop(u64::from(capture.dropped))],
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;
    use crate::testbed::segment::Packet;

    fn frame(nanos: u64, seq: u32) -> Frame {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(1, 2, seq, 100).syn();
        builder.write(&mut bytes, &[]).unwrap();
        Frame { time: Duration::from_nanos(nanos), packet: Packet::parse(&bytes).unwrap() }
    }

    #[test]
    fn hosts_are_interfaces_and_frames_are_in_order() {
        let left = Capture { host: "left", netns: 7, frames: vec![frame(1, 10), frame(5, 30)], dropped: 0 };
        let right = Capture { host: "right", netns: 8, frames: vec![frame(3, 20)], dropped: 2 };
        let mut bytes = Vec::new();
        let mut recorder = Recorder::new(&mut bytes).unwrap();
        recorder.write("play", &[left, right]).unwrap();
        recorder.finish().unwrap();

        let mut reader = PcapNgReader::new(bytes.as_slice()).unwrap();
        let (mut names, mut seen, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(block) = reader.next_block() {
            match block.unwrap() {
                Block::InterfaceDescription(interface) => {
                    assert_eq!(interface.linktype, DataLink::RAW);
                    names.push(format!("{:?}", &interface.options[..2]));
                }
                Block::EnhancedPacket(packet) => {
                    let seq = Packet::parse(&packet.data).unwrap().segment.seq;
                    seen.push((packet.interface_id, packet.timestamp.as_nanos(), seq));
                }
                Block::InterfaceStatistics(statistics) => {
                    dropped.push(format!("{:?}", statistics.options));
                }
                _ => {}
            }
        }
        assert_eq!(names[0], r#"[IfName("play/left"), IfDescription("netns 7")]"#);
        assert_eq!(names[1], r#"[IfName("play/right"), IfDescription("netns 8")]"#);
        assert_eq!(seen, [(0, 1, 10), (1, 3, 20), (0, 5, 30)]);
        assert_eq!(dropped, ["[IsbOsDrop(0)]", "[IsbOsDrop(2)]"]);
    }
}
