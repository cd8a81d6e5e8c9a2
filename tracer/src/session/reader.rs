//! Who should have read: the peer of a connection that failed with a closed window, where it is on this host.

use std::{fs::File, net::SocketAddr, os::unix::fs::MetadataExt as _, path::PathBuf, thread};

use nix::sched::{CloneFlags, setns};

use crate::{
    event::{Body, End, Event, Reader, TcpState},
    host::{
        netstat::{self, Program},
        sock_diag::{self, TcpSocket},
    },
};

/// The process that holds the peer's socket, if it is in the same network namespace. `ends`: the event's, as this host has
/// them.
pub(super) fn of(event: &Event, ends: (SocketAddr, SocketAddr)) -> Option<Reader> {
    let Body::Close(close) = &event.body else { return None };
    if close.ended_by != End::Timeout || !close.window_closed {
        return None;
    }
    // As that end sees it.
    let (remote, local) = ends;
    let is_it = |found: &TcpSocket| found.state != TcpState::LISTEN && found.remote == remote && found.inode != 0;
    let socket = look_up(event, local, remote).filter(is_it)?;
    let Program { pid, name } = netstat::program(socket.inode)?;
    Some(Reader { pid: pid.cast_unsigned(), comm: name, unread: socket.recv_queue })
}

/// Looks there for a socket.
fn look_up(event: &Event, local: SocketAddr, remote: SocketAddr) -> Option<TcpSocket> {
    let netns = event.netns?;
    let is_it = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.ino() == u64::from(netns));
    let owner = event.owner.as_deref().into_iter().flat_map(|owner| [owner.tid, owner.pid]);
    let paths = owner.map(|id| PathBuf::from(format!("/proc/{id}/ns/net")));
    let path = std::iter::once(PathBuf::from("/proc/thread-self/ns/net")).chain(paths).find(is_it)?;
    // A thread of its own, which takes the namespace with it when it ends.
    let asked = thread::spawn(move || {
        setns(File::open(path).ok()?, CloneFlags::CLONE_NEWNET).ok()?;
        sock_diag::lookup(local, remote).ok()?
    });
    asked.join().ok()?
}
