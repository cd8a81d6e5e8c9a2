//! Aborts by timers and limits.

use super::super::{Cause, Finding};
use crate::event::TcpState;

const KEEPALIVE_TIMER: [&str; 2] = ["tcp_keepalive_timer", "tcp_keepalive"];

pub(super) const KEEPALIVE: Cause = Cause {
    id: "keepalive",
    title: "keepalive found the peer gone",
    remedy: "the peer, or the path to it, is gone: look there; TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT set how \
             soon that is noticed",
    rule: |case| {
        let by_reason = case.reason() == "TCP_KEEPALIVE_TIMEOUT";
        if !case.is_active() || !by_reason && !case.is_from(&KEEPALIVE_TIMER) {
            return None;
        }
        let state = case.circumstances();
        let summary = format!("{} did not answer the keepalive probes of {}", case.event.remote, case.owner());
        let finding = Finding::certain(summary).observed(format!("{} probes were unanswered", state.probes_out));
        Some(match state.user_timeout_ms {
            0 => finding,
            limit => finding.observed(format!("TCP_USER_TIMEOUT is {limit} ms")),
        })
    },
};

pub(super) const FIN_WAIT2: Cause = Cause {
    id: "fin_wait2_timeout",
    title: "peer did not close in time",
    remedy: "the peer has still to close after this side: find out why it holds its socket; tcp_fin_timeout or \
             TCP_LINGER2 set how long this side waits",
    rule: |case| {
        // Both of one timer: where a process still has the socket open, half closed, it is keepalive's.
        let is_one = case.is_active()
            && case.state() == Some(TcpState::FIN_WAIT2)
            && case.is_from(&KEEPALIVE_TIMER)
            && case.circumstances().orphan;
        is_one.then(|| {
            let summary = format!("{} did not send its FIN while this side waited in FIN_WAIT2", case.event.remote);
            Finding::certain(summary)
        })
    },
};

pub(super) const ORPHAN_LIMIT: Cause = Cause {
    id: "orphan_limit",
    title: "too many orphaned sockets, or no memory for TCP",
    remedy: "compare `cat /proc/net/sockstat` with net.ipv4.tcp_max_orphans and tcp_mem: raise them, or find out what \
             leaves so many connections behind that are closed but not acknowledged",
    rule: |case| {
        let resources = ["tcp_out_of_resources", "tcp_check_oom"];
        let by_reason = case.reason() == "TCP_ABORT_ON_MEMORY";
        let is_one = case.is_active() && (by_reason || case.is_from(&resources));
        is_one.then(|| {
            Finding::certain("the kernel dropped an orphaned socket (no process has it open) to save memory")
                .inferred("tcp_max_orphans or tcp_mem was reached")
        })
    },
};
