//! An independent witness: what each host put on its wire, captured by packet(7) and kept as pcapng.
//!
//! A [`Tap`] needs no thread. The kernel queues a frame on it while it transmits that frame, so once a
//! segment has arrived at its peer it is in the sender's tap, and reading the tap dry misses nothing.

use std::{
    fs::File,
    io::{self, BufWriter, IoSliceMut, Write},
    net::{Ipv4Addr, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use nix::{
    cmsg_space,
    errno::Errno,
    sys::{
        socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt},
        time::TimeSpec,
    },
};
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
use socket2::{Domain, Protocol, Socket, Type};

use super::{host::Host, segment::Packet};

/// The longest frame that is kept whole: what a TUN device or `lo` carries at most.
const SNAPLEN: u32 = 65_536;

/// Sees each TCP segment that a host sends, once, as it leaves.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
    host: &'static str,
    netns: u32,
}

/// What a [`Tap`] has seen.
#[derive(Debug)]
pub struct Capture {
    /// The host that sent the segments.
    pub host: &'static str,
    /// Inode of its network namespace.
    pub netns: u32,
    /// The segments, in the order in which they left.
    pub frames: Vec<Frame>,
    /// Frames that the kernel had no room to queue.
    pub dropped: u32,
}

/// A captured segment.
#[derive(Debug)]
pub struct Frame {
    /// When it left, by the kernel's clock, since 1970-01-01 UTC.
    pub time: Duration,
    /// The segment in its IP packet.
    pub packet: Packet,
}

/// A frame that was read to a buffer.
struct Received {
    len: usize,
    leaves: bool,
    time: Duration,
}

impl Tap {
    /// Taps all devices of a host.
    ///
    /// # Errors
    /// The kernel has no packet sockets, or this process no `CAP_NET_RAW`.
    pub fn open(host: &Host) -> anyhow::Result<Self> {
        let socket = host.run(|| {
            // Packet sockets name the protocol in network byte order (packet(7)).
            let all = Protocol::from(i32::from((libc::ETH_P_ALL as u16).to_be()));
            let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(all)).context("cannot open a packet socket")?;
            socket.set_nonblocking(true)?;
            setsockopt(&socket, sockopt::ReceiveTimestampns, &true).context("cannot get timestamps for a capture")?;
            Ok(OwnedFd::from(socket))
        })?;
        let tap = Self { socket, host: host.name(), netns: host.netns() };
        host.run(move || tap.wait_for_timestamps())
    }

    /// Waits until the kernel stamps frames as they leave.
    ///
    /// It starts that in a work queue (`net_enable_timestamp`), and until then the frames get the time
    /// at which they are read (`__sock_recv_timestamp`).
    fn wait_for_timestamps(self) -> anyhow::Result<Self> {
        let probe = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot send on lo")?;
        let mut buffer = vec![0; SNAPLEN as usize];
        let give_up = Instant::now() + Duration::from_secs(1);
        while Instant::now() < give_up {
            probe.send_to(&[], probe.local_addr()?).context("cannot send on lo")?;
            let sent = SystemTime::now().duration_since(UNIX_EPOCH)?;
            let mut stamped = true;
            while let Some(message) = self.receive(&mut buffer)? {
                stamped &= message.time <= sent;
            }
            if stamped {
                return Ok(self);
            }
            std::thread::yield_now();
        }
        bail!("this kernel does not stamp captured frames with the time at which they leave")
    }

    /// All that was seen since the tap was opened or last read.
    ///
    /// # Errors
    /// A system call fails.
    pub fn read(&self) -> anyhow::Result<Capture> {
        let mut buffer = vec![0; SNAPLEN as usize];
        let mut frames = Vec::new();
        while let Some(Received { len, leaves, time }) = self.receive(&mut buffer)? {
            // `lo` shows each packet twice, as it leaves and as it comes back.
            if leaves && let Some(packet) = Packet::parse(&buffer[..len]) {
                frames.push(Frame { time, packet });
            }
        }
        Ok(Capture { host: self.host, netns: self.netns, frames, dropped: self.dropped()? })
    }

    /// The next queued frame, if there is one.
    fn receive(&self, buffer: &mut [u8]) -> anyhow::Result<Option<Received>> {
        let mut control = cmsg_space!(TimeSpec);
        let mut vector = [IoSliceMut::new(buffer)];
        let message = loop {
            match recvmsg::<LinkAddr>(self.socket.as_raw_fd(), &mut vector, Some(&mut control), MsgFlags::MSG_DONTWAIT)
            {
                Ok(message) => break message,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("cannot read a capture"),
            }
        };
        let time = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
            _ => None,
        });
        Ok(Some(Received {
            len: message.bytes,
            leaves: message.address.is_some_and(|address| address.pkttype() == libc::PACKET_OUTGOING),
            time: time.context("a captured frame has no timestamp")?,
        }))
    }

    /// Frames lost for want of room since this was last asked.
    fn dropped(&self) -> anyhow::Result<u32> {
        let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut length = size_of_val(&statistics) as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes, the size of `statistics`, to it; both
        // variables outlive the call.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error()).context("cannot read a capture's statistics");
        }
        Ok(statistics.tp_drops)
    }
}

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
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write the capture to {}", path.display()))?;
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

    #[test]
    #[ignore = "needs root"]
    fn what_a_host_sends_to_itself_is_seen_once() {
        let host = Host::new("host").unwrap();
        let tap = Tap::open(&host).unwrap();
        host.run(|| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            std::net::TcpStream::connect(listener.local_addr()?)?;
            Ok(())
        })
        .unwrap();
        let capture = tap.read().unwrap();
        let syns = capture.frames.iter().filter(|frame| frame.packet.is_syn()).count();
        assert_eq!((syns, capture.dropped), (1, 0));
        assert!(capture.frames.is_sorted_by_key(|frame| frame.time));
        assert!(tap.read().unwrap().frames.is_empty());
    }
}
