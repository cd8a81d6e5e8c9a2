//! How processes close.

use super::super::{Cause, Finding, case::Case};
use crate::event::{Flags, TcpState};

const CLOSE: [&str; 2] = ["__tcp_close", "tcp_close"];
/// close() of a MPTCP socket, which resets its subflows for the reasons of a TCP socket (net/mptcp/protocol.c).
const CLOSE_MPTCP: [&str; 2] = ["__mptcp_close", "mptcp_close"];
/// The function by which it does.
const FASTCLOSE: &str = "mptcp_do_fastclose";

/// close() resets the subflows of a MPTCP socket.
pub(super) fn closes_mptcp(case: &Case<'_>) -> bool {
    case.is_active() && case.is_from(&CLOSE_MPTCP) && !case.reason().starts_with("MPTCP_RST_")
}

pub(super) const UNSENT: Cause = Cause {
    id: "disconnect_unsent",
    title: "disconnected with unsent data",
    remedy: "send all data before disconnecting (close() with SO_LINGER 0, connect(AF_UNSPEC)), unless the data does \
             not matter",
    rule: |case| {
        let is_one = case.is_active() && case.reason() == "TCP_DISCONNECT_WITH_DATA";
        is_one.then(|| Finding::certain(format!("{} disconnected with unsent data", case.owner())))
    },
};

pub(super) const LINGER_ZERO: Cause = Cause {
    id: "linger_zero",
    title: "closed with SO_LINGER set to zero",
    remedy: "set SO_LINGER {1, 0} only to abort on purpose: close() then drops unsent data and sends a RST",
    rule: |case| {
        let state = case.circumstances();
        let lingers = state.lingers && !state.linger_time;
        // close() disconnects for this reason only (__tcp_close in net/ipv4/tcp.c).
        let by_functions = case.is_from(&["tcp_disconnect"]) && case.is_from(&CLOSE);
        // Nothing else shuts down both ways of a connection that is still open: shutdown() would have sent a FIN.
        let was_open = case.rst.closed_from.is_some_and(TcpState::is_open);
        let by_state = lingers && state.shut_down && was_open && case.reason() == "TCP_STATE";
        let by_mptcp = lingers && closes_mptcp(case) && case.ending().is_none();
        if !case.is_active() || !by_functions && !by_state && !by_mptcp {
            return None;
        }
        let mut finding = match case.closing_thread() {
            Some(work) => on_behalf(case, work, "whose SO_LINGER is zero"),
            None => Finding::certain(format!("{} closed a socket with SO_LINGER set to zero", case.owner())),
        };
        if by_functions {
            finding = finding.observed("close() called tcp_disconnect");
        }
        if lingers {
            finding = finding.observed("SO_LINGER is on, with a time of 0");
        }
        if by_mptcp {
            finding = finding.observed("close() of a MPTCP socket reset its subflow");
        } else if !by_functions {
            finding = finding
                .observed("both directions of the open connection were shut down")
                .inferred("only close() does that without a FIN");
        }
        Some(finding)
    },
};

pub(super) const LINGER2: Cause = Cause {
    id: "linger2",
    title: "closed with a negative TCP_LINGER2",
    remedy: "a negative TCP_LINGER2 skips FIN_WAIT2: set it to 0 or more to wait for the peer's FIN",
    rule: |case| {
        let by_close = case.is_active() && case.reason() == "TCP_ABORT_ON_LINGER";
        // Where close() comes before the peer has acknowledged the FIN, that acknowledgment closes the
        // socket, and is answered (tcp_rcv_state_process in net/ipv4/tcp_input.c).
        let is_bare = case.rst.trigger.is_some_and(|trigger| trigger.len == 0 && !trigger.flags.contains(Flags::FIN));
        let by_answer = case.answers_in(&[TcpState::FIN_WAIT2])
            && case.rst.socket_state == Some(TcpState::CLOSE)
            && case.circumstances().no_fin_wait2
            && is_bare;
        let is_one = by_close || by_answer;
        is_one.then(|| Finding::certain(format!("{} closed a socket whose TCP_LINGER2 is negative", case.last_owner())))
    },
};

/// close() aborts where data was not read (RFC 2525, section 2.17).
fn closes_unread(case: &Case<'_>) -> bool {
    let by_tcp = case.reason() == "TCP_ABORT_ON_CLOSE" || case.is_from(&CLOSE) && case.unread() > 0;
    case.is_active() && by_tcp || closes_mptcp(case) && case.is_from(&[FASTCLOSE])
}

/// A kernel thread closed it, `which` says what that found.
pub(super) fn on_behalf(case: &Case<'_>, work: &str, which: &str) -> Finding {
    let task = &case.event.task;
    Finding::likely(format!("the kernel closed a socket for {}, {which}", case.owner()))
        .observed(format!("the kernel thread {}[{}] closed it: {work}", task.comm, task.pid))
        .inferred("that process is the last one seen to hold it")
}

fn unread(case: &Case<'_>) -> String {
    match case.unread() {
        // The kernel counts them while it drops them, so some versions have forgotten by now.
        0 => "data".to_owned(),
        unread => format!("{unread} bytes"),
    }
}

pub(super) const KILLED: Cause = Cause {
    id: "process_killed",
    title: "process ended with unread data",
    remedy: "find out what ended the process (its log, `journalctl`, `dmesg` for the OOM killer); an orderly shutdown \
             reads to the end, or stops the peer first",
    rule: |case| {
        let ended = case.ending().filter(|_| closes_unread(case))?;
        let summary = format!("{} {ended} with {} unread", case.owner(), unread(case));
        let finding = if closes_mptcp(case) { of_mptcp(summary) } else { Finding::certain(summary) };
        Some(finding.observed("the task was exiting when it closed the socket"))
    },
};

pub(super) const UNREAD: Cause = Cause {
    id: "close_unread",
    title: "closed with unread data",
    remedy: "read to the end before close(), or shutdown() the receiving side early and tell the peer to stop: TCP \
             treats data left unread at close() as lost, and says so with a RST",
    rule: |case| {
        if !closes_unread(case) {
            return None;
        }
        if let Some(work) = case.closing_thread() {
            return Some(on_behalf(case, work, &format!("with {} unread", unread(case))));
        }
        if let Some(program) = case.program() {
            let what = format!("started {program}, and with that closed the socket with {} unread", unread(case));
            let finding = Finding::certain(format!("{} {what}", case.owner()));
            return Some(finding.observed("execve() closed the descriptor (FD_CLOEXEC)"));
        }
        let summary = format!("{} closed the socket with {} unread", case.owner(), unread(case));
        Some(match closes_mptcp(case) {
            true => of_mptcp(summary),
            false => Finding::certain(summary).observed("close() found data in the receive queue"),
        })
    },
};

/// MPTCP has a receive queue of its own, above that of the subflow.
fn of_mptcp(summary: String) -> Finding {
    Finding::likely(summary)
        .observed("close() of a MPTCP socket reset its subflow")
        .inferred("its receive queue held data, or close() would have sent a FIN")
}
