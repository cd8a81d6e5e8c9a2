//! The port is listening, but not where the SYN arrived.

use std::net::SocketAddr;

use super::super::{Cause, Finding, case::Case};
use crate::event::{Listener, Pid};

pub(super) const LISTENER_ELSEWHERE: Cause = Cause {
    id: "listener_elsewhere",
    title: "port is listening, but on another address, family or netns",
    remedy: "bind the server to the address that its clients use (0.0.0.0 or :: for all, IPV6_V6ONLY off for both \
             families), or publish the port into the netns that they reach",
    rule: |case| {
        if !case.is_without_socket() || !case.answers_syn() {
            return None;
        }
        let netns = case.event.netns;
        let here = case.rst.listeners.iter().find(|listener| Some(listener.netns) == netns);
        let listener = here.or_else(|| case.rst.listeners.first())?;
        let finding = Finding::likely(summary(case, listener))
            .observed("the lookups for its SYN found neither a connection nor a listener")
            .inferred("the client meant that server");
        Some(finding)
    },
};

fn summary(case: &Case<'_>, listener: &Listener) -> String {
    let port = case.event.local.port();
    let who = if listener.pid == Pid::default() {
        "a process".to_owned()
    } else {
        format!("{}[{}]", listener.comm, listener.pid)
    };
    if Some(listener.netns) != case.event.netns {
        return format!("{who} listens on port {port}, but in netns {}", listener.netns);
    }
    let address = listener.address;
    match (address.is_unspecified(), address.is_ipv6() == case.event.local.is_ipv6()) {
        (true, false) if address.is_ipv6() => format!("{who} listens on [::]:{port}, but for IPv6 only"),
        (true, false) => format!("{who} listens on 0.0.0.0:{port}, so for IPv4 only"),
        // It would have been found, were it not for something else.
        (true, true) => format!("{who} listens on port {port}, but on another device or VRF"),
        (false, _) if address == case.event.local.ip() => {
            format!("{who} listens on that address, but on another device or VRF")
        }
        (false, _) => format!("{who} listens only on {}", SocketAddr::new(address, port)),
    }
}
