//! A connection attempt that only a timer ends.
//!
//! Not the last in the alphabet, and so not the last to run: it waits, and others have work meanwhile.

use std::{net::SocketAddr, time::Duration};

use socket2::{Domain, Socket, Type};
use tracer::testbed::{host::Host, tun};

use crate::report::Trace;

#[test]
#[ignore = "needs root"]
fn a_timeout_is_told_from_a_packet() {
    let mut trace = Trace::shared();
    // A host whose segments nobody takes off its device: 192.0.2.0/24 is TEST-NET-1 (RFC 5737).
    let host = Host::new("void").unwrap();
    host.run(|| {
        let _device = tun::open("192.0.2.2".parse()?)?;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_tcp_user_timeout(Some(Duration::from_millis(300)))?;
        let nobody: SocketAddr = "192.0.2.1:9".parse()?;
        let error = socket.connect(&nobody.into()).expect_err("nobody answers");
        assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT), "{error}");
        Ok(())
    })
    .unwrap();
    let closed = trace.wait("the timeout", |object| {
        object["event"] == "state" && object["new"] == "CLOSE" && object["remote"] == "192.0.2.1:9"
    });
    drop(trace);
    assert_eq!((&closed["old"], &closed["context"]), (&"SYN_SENT".into(), &"timer".into()), "{closed:#}");
}
