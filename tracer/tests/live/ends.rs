//! Connections of one thread with known ends, and how many events of closed sockets they make.

use std::{io::Read, mem::MaybeUninit, net::SocketAddr};

use socket2::{Domain, Socket, Type};

/// A socket of that end, which others may have had a moment ago.
fn bound(end: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(end), Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    if end.is_ipv6() {
        socket.set_only_v6(false).unwrap();
    }
    socket.bind(&end.into()).unwrap_or_else(|error| panic!("{end}: {error}"));
    socket
}

/// Waits for connections.
pub(crate) fn listening(end: SocketAddr) -> Socket {
    let listener = bound(end);
    listener.listen(1).unwrap();
    listener
}

/// The next connection, with data that has come and is not read.
pub(crate) fn with_unread(listener: &Socket) -> Socket {
    let (accepted, _) = listener.accept().unwrap();
    assert!(accepted.peek(&mut [MaybeUninit::uninit()]).unwrap() > 0);
    accepted
}

/// A whole connection, the client closes first: two sockets close, and the listener.
pub(crate) fn exchange(client: SocketAddr, server: SocketAddr) {
    let listener = bound(server);
    listener.listen(1).unwrap();
    let end = bound(client);
    end.connect(&server.into()).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    drop(end);
    assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
}

/// A connection that the server has closed when the client's byte comes, which a minisocket answers with a RST.
pub(crate) fn raced(client: SocketAddr, server: SocketAddr) {
    let listener = listening(server);
    let mut end = bound(client);
    end.connect(&server.into()).unwrap();
    drop(listener.accept().unwrap());
    assert_eq!(end.read(&mut [0]).unwrap(), 0);
    end.send(b"x").unwrap();
}

/// Closes a listener, and connects to where it was.
pub(crate) fn deserted(client: SocketAddr, server: SocketAddr) {
    drop(listening(server));
    refused(client, server);
}

/// Reads one byte of one connection, and closes that.
pub(crate) fn serve_once(listener: &Socket) {
    let (mut accepted, _) = listener.accept().unwrap();
    assert_eq!(accepted.read(&mut [0]).unwrap(), 1);
}

/// An attempt that a RST answers: one socket closes.
pub(crate) fn refused(client: SocketAddr, server: SocketAddr) {
    let error = bound(client).connect(&server.into()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED), "{error}");
}

/// A socket connects to itself: one closes, when the result is dropped.
pub(crate) fn itself(end: SocketAddr) -> Socket {
    let socket = bound(end);
    socket.connect(&end.into()).unwrap();
    socket
}
