//! The loopback device of the calling thread's network namespace.

use std::{net::UdpSocket, os::fd::AsRawFd as _};

use anyhow::Result;
use nix::errno::Errno;

/// Brings it up: a namespace starts with it down.
pub(crate) fn bring_up() -> Result<()> {
    // Any socket will do to ask for it.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: every field of an ifreq may be zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        // Signed or not, as the processor has it.
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    // The device has no other flags that could be set, so that none is lost.
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP)?;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which lives through the call.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })?;
    Ok(())
}
