//! RSTs that were received and reset no socket. Kernels from 6.12 on tell which socket they were for; before, the functions
//! that dropped them and the reason tell some of it.

use super::super::{Cause, Finding, case::Case};
use crate::event::TcpState;

/// The function that takes, or does not take, a RST for a connection (net/ipv4/tcp_input.c).
const VALIDATE: [&str; 1] = ["tcp_validate_incoming"];

/// It was for a connection, which lives on.
fn is_for_connection(case: &Case<'_>) -> bool {
    let others = [TcpState::LISTEN, TcpState::TIME_WAIT, TcpState::NEW_SYN_RECV, TcpState::CLOSE, TcpState::SYN_SENT];
    case.is_stray() && (case.is_from(&VALIDATE) || case.state().is_some_and(|state| !others.contains(&state)))
}

/// It was for a connection that waits for the peer's FIN, and whose socket is closed.
fn is_in_fin_wait2(case: &Case<'_>) -> bool {
    case.is_stray() && case.rst.is_for_minisocket() && case.state() == Some(TcpState::FIN_WAIT2)
}

/// It has the sequence number that was expected.
fn is_expected(case: &Case<'_>) -> bool {
    case.rst.trigger.is_some_and(|rst| case.rst.expected_seq == Some(rst.seq))
}

/// Which socket it was for may be told, and the functions tell that it was not a listener's or a connection's.
fn is_from_tcp_itself(case: &Case<'_>) -> bool {
    case.is_stray() && !case.is_from(&["tcp_rcv_state_process", "tcp_validate_incoming", "tcp_rcv_established"])
}

/// What the sequence number is off by, where that is known.
fn off_by(case: &Case<'_>, finding: Finding) -> Finding {
    let expected = case.rst.circumstances.as_ref().map(|circumstances| circumstances.rcv_nxt).or(case.rst.expected_seq);
    match (expected, case.rst.trigger) {
        (Some(expected), Some(rst)) => {
            finding.observed(format!("its sequence number was {}, the expected one {expected}", rst.seq))
        }
        _ => finding.inferred("the expected sequence number is unknown"),
    }
}

pub(super) const CHALLENGE_ACK: Cause = Cause {
    id: "challenge_ack",
    title: "in-window RST answered with a challenge ACK",
    remedy: "the connection lives; a genuine peer answers the challenge with the exact RST. Somebody may be guessing \
             sequence numbers, or a middlebox resets with outdated ones (RFC 5961, section 3.2)",
    rule: |case| {
        if !is_for_connection(case) || case.reason() != "TCP_RESET" {
            return None;
        }
        let summary = format!("{} sent a RST with a wrong sequence number: the connection lives", case.event.remote);
        let is_seen = case.rst.circumstances.is_some();
        Some(off_by(case, if is_seen { Finding::certain(summary) } else { Finding::likely(summary) }))
    },
};

pub(super) const OUT_OF_WINDOW: Cause = Cause {
    id: "rst_out_of_window",
    title: "out-of-window RST dropped",
    remedy: "the connection lives: somebody guesses sequence numbers, or the RST belongs to an earlier connection on \
             this 4-tuple; compare a capture at the peer",
    rule: |case| {
        let waits = is_in_fin_wait2(case) && !is_expected(case);
        let is_one = is_for_connection(case) && case.reason().contains("SEQUENCE") || waits;
        let summary = || format!("{} sent a RST with an unexpected sequence number", case.event.remote);
        is_one.then(|| off_by(case, Finding::certain(summary())))
    },
};

pub(super) const IN_FIN_WAIT2: Cause = Cause {
    id: "rst_in_fin_wait2",
    title: "peer reset a connection that waited in FIN_WAIT2",
    remedy: "nothing is lost here: this side had closed, and waited for the peer's FIN. The peer reset the connection \
             instead: it did not read all data, was killed, or is gone",
    rule: |case| {
        let is_one = is_in_fin_wait2(case) && is_expected(case);
        is_one.then(|| {
            let remote = case.event.remote;
            let summary =
                format!("{remote} reset a connection that this side had closed, and that waited in FIN_WAIT2");
            off_by(case, Finding::certain(summary))
        })
    },
};

pub(super) const ASSASSINATION: Cause = Cause {
    id: "time_wait_assassination",
    title: "RST ended TIME_WAIT early",
    remedy: "an old segment may now disturb the next connection on this 4-tuple (RFC 1337): set net.ipv4.tcp_rfc1337=1 \
             where that matters, and find out why the peer sends a RST after its FIN",
    rule: |case| {
        let is_one = case.is_stray() && case.state() == Some(TcpState::TIME_WAIT) && is_expected(case);
        is_one.then(|| {
            let summary = format!("{} ended a connection that waited in TIME_WAIT", case.event.remote);
            let finding =
                Finding::likely(summary).inferred("tcp_rfc1337 is off: otherwise the RST would have been ignored");
            off_by(case, finding)
        })
    },
};

pub(super) const IN_TIME_WAIT: Cause = Cause {
    id: "rst_in_time_wait",
    title: "RST received in TIME_WAIT",
    remedy: "nothing was lost: both sides had closed. The peer sends a RST after its FIN, often because it closed with \
             unread data",
    rule: |case| {
        if !case.is_stray() {
            return None;
        }
        let summary = format!("{} sent a RST for a connection that both sides had closed", case.event.remote);
        if case.state() == Some(TcpState::TIME_WAIT) {
            return Some(off_by(case, Finding::certain(summary)));
        }
        let waited =
            case.past().is_some_and(|past| [TcpState::FIN_WAIT2, TcpState::CLOSING].contains(&past.closed_from));
        let is_one = case.state().is_none() && waited && case.reason() != "NO_SOCKET" && is_from_tcp_itself(case);
        let summary = format!("{} sent a RST for a connection that this side had closed", case.event.remote);
        let finding = Finding::likely(summary).inferred("its socket closed into TIME_WAIT");
        is_one.then(|| finding.inferred("whether the peer had closed by then is unknown"))
    },
};

pub(super) const OF_REQUEST: Cause = Cause {
    id: "rst_of_request",
    title: "peer gave up its handshake with a listener",
    remedy: "typical of port scans (nmap -sS), LB health checks and clients that gave up; if there are many, look at \
             who sends the SYNs",
    rule: |case| {
        let for_listener = case.state().is_none_or(|state| [TcpState::LISTEN, TcpState::NEW_SYN_RECV].contains(&state));
        let is_told = !case.reason().is_empty() && case.reason() != "NO_SOCKET";
        let is_one = is_from_tcp_itself(case) && for_listener && is_told && case.past().is_none();
        is_one.then(|| {
            let summary = format!("{} reset a handshake before it was complete", case.event.remote);
            let finding = Finding::likely(summary);
            case.by_absence(finding.inferred("the listener dropped a request socket: no connection existed yet"))
        })
    },
};

pub(super) const AT_LISTENER: Cause = Cause {
    id: "rst_at_listener",
    title: "RST received by a listener",
    remedy: "harmless: this 4-tuple has no connection here. The peer resets one from before the server restarted, or \
             somebody probes",
    rule: |case| {
        let by_functions = case.is_from(&["tcp_rcv_state_process"]);
        let is_listener = case.state() == Some(TcpState::LISTEN);
        let may_be_one = is_listener || by_functions && case.state().is_none();
        if !case.is_stray() || !may_be_one {
            return None;
        }
        let summary = format!("{} sent a RST to a listener, which has nothing to reset", case.event.remote);
        Some(match (is_listener, by_functions) {
            (true, true) => Finding::certain(summary),
            (true, false) => {
                Finding::likely(summary).inferred("it may have been for one of the listener's request sockets")
            }
            (false, _) => Finding::likely(summary).inferred("the functions that dropped it belong to a listener"),
        })
    },
};

pub(super) const WITHOUT_SOCKET: Cause = Cause {
    id: "rst_without_socket",
    title: "RST received for no socket",
    remedy: "harmless: the connection is gone already. Both sides have reset it, or the peer answers a segment that \
             was in flight",
    rule: |case| {
        let summary = || format!("{} sent a RST for a connection that is gone", case.event.remote);
        if !case.is_stray() {
            return None;
        }
        if case.reason() == "NO_SOCKET" {
            return Some(Finding::certain(summary()));
        }
        let is_gone = case.state().is_none() && case.past().is_some();
        is_gone.then(|| Finding::likely(summary()).inferred("its socket was closed before"))
    },
};

pub(super) const OTHER: Cause = Cause {
    id: "stray",
    title: "RST received, ignored",
    remedy: "the kernel dropped it: the connection that it was meant for lives on, or was gone before",
    rule: |case| {
        case.is_stray().then(|| Finding::possible(format!("{} sent a RST that the kernel ignored", case.event.remote)))
    },
};
