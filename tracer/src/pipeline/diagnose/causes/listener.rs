//! Segments for a listener.

use super::{
    super::{Cause, Finding, case},
    no_socket::HANDSHAKE_NS,
};
use crate::event::{Past, TcpState};

pub(super) const ACCEPT_OVERFLOW: Cause = Cause {
    id: "accept_overflow",
    title: "accept queue full",
    remedy: "the server accepts too slowly: give it more threads or time, or a larger backlog in listen() and \
             net.core.somaxconn; with net.ipv4.tcp_abort_on_overflow=0 clients would wait instead",
    rule: |case| {
        let state = case.circumstances();
        // The RST is sent for the listener, where the handshake's final ACK ends (tcp_check_req).
        if !case.answers_in(&[TcpState::LISTEN]) || case.reason() != "INVALID_SYN" || case.answers_syn() {
            return None;
        }
        let queue = format!("backlog {}, limit {}", state.backlog, state.max_backlog);
        let summary = format!("the accept queue of {} is full ({queue})", case.owner());
        let is_full = state.backlog > state.max_backlog;
        let finding = if is_full { Finding::certain(summary) } else { Finding::likely(summary) };
        let finding = finding.observed(format!("accept queue: {queue}"));
        Some(finding.inferred("tcp_abort_on_overflow is on: else the ACK would have been ignored"))
    },
};

pub(super) const NEVER_ACCEPTED: Cause = Cause {
    id: "never_accepted",
    title: "connection found no room in the accept queue",
    remedy: "the server accepts too slowly: give it more threads or time, or a larger backlog in listen() and \
             net.core.somaxconn; with net.ipv4.tcp_abort_on_overflow=1 such clients get a RST at once",
    rule: |case| {
        let refused = |past: &&Past| past.closed_from == TcpState::NEW_SYN_RECV && case.is_without_connection();
        let past = case.past().filter(refused)?;
        let (who, ago) = (case::name(past.owner.as_deref()), case::duration(past.closed_ns_ago));
        let remote = case.event.remote;
        let finding = Finding::certain(format!(
            "the accept queue of {who} was full {ago} ago: {remote} considers a connection open that was never accepted"
        ));
        Some(finding.observed("its final ACK was dropped then, and the SYN+ACK was retransmitted"))
    },
};

pub(super) const BAD_SYN: Cause = Cause {
    id: "bad_syn",
    title: "unexpected SYN during a handshake",
    remedy: "the peer reused the port before the handshake was over, or somebody forges segments; nothing to fix: the \
             client's next attempt works",
    rule: |case| {
        let is_one = case.answers_in(&[TcpState::LISTEN, TcpState::NEW_SYN_RECV]) && case.reason() == "INVALID_SYN";
        is_one.then(|| Finding::certain("a SYN with another sequence number arrived for a connection in its handshake"))
    },
};

pub(super) const STALE_ACK: Cause = Cause {
    id: "stale_ack",
    title: "ACK to a listener that matches no handshake",
    remedy: "usually the peer is late: its handshake has timed out here, or the server was restarted; with SYN \
             cookies, the cookie was too old or wrong",
    rule: |case| {
        let is_one = case.answers_in(&[TcpState::LISTEN]) && !case.answers_syn();
        is_one.then(|| {
            let (local, remote) = (case.event.local, case.event.remote);
            let summary = match &case.rst.former {
                Some(former) if former.closed_ns_ago < HANDSHAKE_NS => format!(
                    "{remote} sent an ACK, but {local} has only a new listener: {} closed the previous one {} ago",
                    case::name(former.owner.as_deref()),
                    case::duration(former.closed_ns_ago)
                ),
                _ => format!("{remote} sent an ACK, but {local} has only a listener"),
            };
            // A full accept queue looks the same where neither the kernel nor its functions tell.
            let is_told = case.reason() == "TCP_FLAGS";
            let finding = if is_told { Finding::certain(summary) } else { Finding::likely(summary) };
            let finding = finding.inferred(
                "it belongs to a connection from before the server restarted, or is a final ACK that arrived too late",
            );
            let finding = match &case.rst.former {
                Some(former) => finding.observed(format!(
                    "{} closed a listener on that address and port {} before",
                    case::name(former.owner.as_deref()),
                    case::duration(former.closed_ns_ago)
                )),
                None => finding,
            };
            match case.past() {
                Some(_) => finding.observed("a connection on this 4-tuple was closed while the trace ran"),
                None => finding,
            }
        })
    },
};
