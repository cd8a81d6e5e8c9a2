//! Segments that come to a listener.

use super::{
    super::{Cause, Finding, case},
    no_socket::HANDSHAKE_NS,
};
use crate::event::{Past, TcpState};

pub(super) const ACCEPT_OVERFLOW: Cause = Cause {
    id: "accept_overflow",
    title: "the accept queue is full",
    remedy: "the server accepts too slowly: give it more threads or time, a longer backlog in listen() and \
             net.core.somaxconn; with net.ipv4.tcp_abort_on_overflow=0 clients would wait instead",
    rule: |case| {
        let state = case.circumstances();
        // The RST is sent for the listener, where the handshake's last ACK ends (tcp_check_req).
        if !case.answers_in(&[TcpState::LISTEN]) || case.reason() != "INVALID_SYN" || case.answers_syn() {
            return None;
        }
        let queue = format!("{} of {} connections waited to be accepted", state.backlog, state.max_backlog);
        let summary = format!("the accept queue of {} is full: {queue}", case.owner());
        let is_full = state.backlog > state.max_backlog;
        let finding = if is_full { Finding::certain(summary) } else { Finding::likely(summary) };
        let finding = finding.observed(queue);
        Some(finding.inferred("tcp_abort_on_overflow is on: else the ACK would have been ignored"))
    },
};

pub(super) const NEVER_ACCEPTED: Cause = Cause {
    id: "never_accepted",
    title: "the connection had found no place in the accept queue",
    remedy: "the server accepts too slowly: give it more threads or time, a longer backlog in listen() and \
             net.core.somaxconn; with net.ipv4.tcp_abort_on_overflow=1 such clients are told at once",
    rule: |case| {
        let refused = |past: &&Past| past.closed_from == TcpState::NEW_SYN_RECV && case.is_without_connection();
        let past = case.past().filter(refused)?;
        let (who, ago) = (case::name(past.owner.as_deref()), case::duration(past.closed_ns_ago));
        let remote = case.event.remote;
        let finding = Finding::certain(format!(
            "the accept queue of {who} was full {ago} ago: {remote} takes for a connection what was never accepted here"
        ));
        Some(finding.observed("its last ACK was dropped then, and the SYN+ACK sent again"))
    },
};

pub(super) const BAD_SYN: Cause = Cause {
    id: "bad_syn",
    title: "a SYN in the middle of a handshake",
    remedy: "the other end used the port anew before the handshake was over, or something forges segments; it heals \
             by itself when the client tries again",
    rule: |case| {
        let is_one = case.answers_in(&[TcpState::LISTEN, TcpState::NEW_SYN_RECV]) && case.reason() == "INVALID_SYN";
        is_one
            .then(|| Finding::certain("a SYN with another sequence number came for a connection that was being opened"))
    },
};

pub(super) const STALE_ACK: Cause = Cause {
    id: "stale_ack",
    title: "an ACK that no handshake waits for came to a listener",
    remedy: "usually the other end is late: its handshake has timed out here, or the server was started anew; with \
             SYN cookies, the cookie was too old or wrong",
    rule: |case| {
        let is_one = case.answers_in(&[TcpState::LISTEN]) && !case.answers_syn();
        is_one.then(|| {
            let (local, remote) = (case.event.local, case.event.remote);
            let summary = match &case.rst.former {
                Some(former) if former.closed_ns_ago < HANDSHAKE_NS => format!(
                    "{remote} acknowledged something, but {local} has only a new listener: {} closed the one before {} ago",
                    case::name(former.owner.as_deref()),
                    case::duration(former.closed_ns_ago)
                ),
                _ => format!("{remote} acknowledged something, but {local} has only a listener"),
            };
            // A full accept queue looks the same where neither the kernel nor its functions tell.
            let is_told = case.reason() == "TCP_FLAGS";
            let finding = if is_told { Finding::certain(summary) } else { Finding::likely(summary) };
            let finding = finding.inferred(
                "a connection from before the server was started anew, or a handshake's last ACK that came too late",
            );
            let finding = match &case.rst.former {
                Some(former) => finding.observed(format!(
                    "{} closed a listener of that address and port {} before",
                    case::name(former.owner.as_deref()),
                    case::duration(former.closed_ns_ago)
                )),
                None => finding,
            };
            match case.past() {
                Some(_) => finding.observed("a connection of these two ends was closed while the trace ran"),
                None => finding,
            }
        })
    },
};
