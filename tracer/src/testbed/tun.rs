//! TUN devices: a host's only network card, whose cable is a file descriptor.
//!
//! See Documentation/networking/tuntap.rst in the kernel sources.

use std::{
    ffi::c_int,
    fs::{File, OpenOptions},
    io,
    net::IpAddr,
    os::fd::AsRawFd,
};

use anyhow::{Context as _, anyhow};

use crate::testbed::link;

const DEVICE: &str = "/dev/net/tun";
const NAME: &std::ffi::CStr = c"wire0";

/// Makes a TUN device in the calling thread's namespace, up and with `address`.
///
/// Each read of the file is one IP packet that the host has sent, each write one that it receives;
/// reads do not block. The device goes away with the file.
///
/// # Errors
/// The kernel has no TUN driver or refuses the device or the address.
pub fn open(address: IpAddr) -> anyhow::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(DEVICE).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV) => anyhow!("{DEVICE} is missing: load the tun module (modprobe tun)"),
        _ => anyhow!(error).context(format!("cannot open {DEVICE}")),
    })?;
    attach(&file).context("cannot make a TUN device")?;
    let index = nix::net::if_::if_nametoindex(NAME).context("cannot find the TUN device")?;
    link::bring_up(index)?;
    link::add_address(index, address, if address.is_ipv4() { 24 } else { 64 })?;
    set_nonblocking(&file).context("cannot make the TUN device non-blocking")?;
    Ok(file)
}

/// `TUNSETIFF`. With `IFF_NAPI` what is written is received in softirq context, as from a NIC.
fn attach(file: &File) -> io::Result<()> {
    // SAFETY: `ifreq` is a C struct of integers and byte arrays, for which zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(NAME.to_bytes()) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_NAPI) as libc::c_short;
    // SAFETY: the file is open, and TUNSETIFF reads and writes one `ifreq`, which outlives the call.
    let result: c_int = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn set_nonblocking(file: &File) -> nix::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop)
}
