//! An independent witness: what each host put on its wire, captured by packet(7).
//!
//! A [`Tap`] needs no thread. The kernel queues a frame on it while it transmits that frame, so once a
//! segment has arrived at its peer it is in the sender's tap, and reading the tap dry misses nothing.

use std::{
    io::{self, IoSliceMut},
    net::{Ipv4Addr, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
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
use socket2::{Domain, Protocol, Socket, Type};

use crate::testbed::{host::Host, segment::Packet};

/// The longest frame that is kept whole: what a TUN device or `lo` carries at most.
pub const SNAPLEN: u32 = 65_536;

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

#[cfg(test)]
mod tests {
    use super::*;

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
