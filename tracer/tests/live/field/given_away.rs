//! Sockets whose last reference is the kernel's, which closes them on behalf of whoever had them.

use std::{
    io::IoSlice,
    net::TcpStream,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
};

use anyhow::{Context as _, ensure};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tracer::{
    event::Confidence,
    testbed::{host::Host, tcp},
};

use super::{End, Happened, Situation};
use crate::{causes::Lacks, report};

pub(super) const ALL: &[Situation] = &[
    Situation { name: "the garbage collector of unix sockets closes a connection", perform: in_flight },
    Situation { name: "an io_uring that ends closes a connection", perform: registered },
];

/// A connection with data unread is given to the kernel, which closes it.
/// `by_itself`: the process collects its own garbage, in the system call that makes it.
fn given(name: &'static str, by_itself: bool, give: fn(TcpStream) -> anyhow::Result<()>) -> anyhow::Result<Happened> {
    let host = Host::new(name)?;
    let (client, (near, far)) = host.run(move || {
        let (mut client, server) = report::connection();
        std::io::Write::write_all(&mut client, b"unread")?;
        server.peek(&mut [0])?;
        let ends = (client.local_addr()?, server.local_addr()?);
        give(server)?;
        Ok((socket2::Socket::from(client), ends))
    })?;
    client.set_read_timeout(Some(crate::causes::TIMEOUT))?;
    let error = tcp::hear(&client, 1).expect_err("nobody answers");
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    ensure!(kind == Some(std::io::ErrorKind::ConnectionReset), "it is reset: {error:#}");
    // The process is the last one that was seen to have it, which another may have had since.
    let told = |end: End| match by_itself {
        true => end.says("closed the socket").by(name, std::process::id()).times(1),
        false => end.at_most(Confidence::Likely).says("the kernel closed").times(1),
    };
    let context = if by_itself { "process" } else { "kernel_thread" };
    let ends = vec![
        told(End::sent("close_unread").local(far)).field("context", context),
        told(End::received("close_unread").local(near)),
        End::closed("rst_sent").local(far).times(1),
    ];
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new(client), Box::new(host)], ends })
}

fn send_to(socket: &UnixStream, descriptors: &[i32]) -> anyhow::Result<()> {
    let rights = [ControlMessage::ScmRights(descriptors)];
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(b"x")], &rights, MsgFlags::empty(), None)?;
    Ok(())
}

/// In flight to a socket that is itself in flight, to itself: nobody can receive either (net/unix/garbage.c).
fn in_flight() -> anyhow::Result<Happened> {
    // A work queue's item is what collects since 6.9, and in the stable kernels from 6.1 on.
    let by_itself = std::fs::read_to_string("/proc/sys/kernel/osrelease")?.starts_with("5.");
    given("in-flight", by_itself, |server| {
        let (one, other) = UnixStream::pair()?;
        send_to(&one, &[one.as_raw_fd(), other.as_raw_fd(), server.as_raw_fd()])?;
        drop((one, other, server));
        // It is collected when another one is closed while some are in flight.
        for _ in 0..3 {
            let (one, other) = UnixStream::pair()?;
            send_to(&one, &[one.as_raw_fd()])?;
            drop((one, other));
        }
        Ok(())
    })
}

/// Registered with an io_uring, which a worker takes apart (io_ring_exit_work in io_uring/io_uring.c).
fn registered() -> anyhow::Result<Happened> {
    given("registered", false, |server| {
        /// `IORING_REGISTER_FILES` (include/uapi/linux/io_uring.h).
        const REGISTER_FILES: libc::c_long = 2;
        /// Bytes of `struct io_uring_params`.
        const PARAMETERS: usize = 120;
        let mut parameters = [0u8; PARAMETERS];
        // SAFETY: the kernel reads and writes a structure of that size.
        let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) };
        if ring < 0 {
            return Err(Lacks("this kernel has no io_uring, or it is off").into());
        }
        // SAFETY: the descriptor is new, and nobody else's.
        let ring = unsafe { OwnedFd::from_raw_fd(ring as i32) };
        let files = [server.as_raw_fd()];
        // SAFETY: the kernel reads one descriptor.
        let result = unsafe {
            libc::syscall(libc::SYS_io_uring_register, ring.as_raw_fd(), REGISTER_FILES, files.as_ptr(), files.len())
        };
        if result < 0 {
            return Err(std::io::Error::last_os_error()).context("io_uring takes no file");
        }
        drop((server, ring));
        Ok(())
    })
}
