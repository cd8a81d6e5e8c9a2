//! The test's end of a host's TUN device.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracer::testbed::segment::Packet;

/// The next segment from the host that is wanted; others are dropped. `what` names it if none comes.
pub(crate) fn next(
    mut device: &File,
    timeout: Duration,
    what: &str,
    wanted: impl Fn(&Packet) -> bool,
) -> anyhow::Result<Packet> {
    let deadline = Instant::now() + timeout;
    let mut buffer = [0; 2048];
    loop {
        match device.read(&mut buffer) {
            Ok(len) => {
                if let Some(packet) = Packet::parse(&buffer[..len]).filter(&wanted) {
                    return Ok(packet);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                let mut fds = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
                let comes = !left.is_zero() && poll(&mut fds, PollTimeout::try_from(left)?)? > 0;
                ensure!(comes, "the host did not send {what}");
            }
            Err(error) => return Err(error).context("cannot read what the host sent"),
        }
    }
}
