//! Data for a connection that its process has closed.

use super::super::{
    Cause, Finding, actor,
    case::{Case, duration},
};
use crate::event::TcpState;

pub(super) const DATA_AFTER_CLOSE: Cause = Cause {
    id: "data_after_close",
    title: "data received after close()",
    remedy: "the peer still sends data that no process will read: agree on which side ends the conversation, or read \
             to the end before close() (shutdown() first, if nothing is left to send); where idle connections are kept \
             for reuse, the side that reuses them must drop them sooner (a shorter idle timeout) than the side that \
             closed this one, and retry requests that are safe to repeat",
    rule: |case| {
        let closed = [TcpState::FIN_WAIT1, TcpState::FIN_WAIT2, TcpState::CLOSING, TcpState::LAST_ACK];
        let by_socket = case.answers_in(&closed);
        // A minisocket in FIN_WAIT2 shows as TIME_WAIT; in TIME_WAIT proper it answers data with an ACK.
        let by_minisocket = case.answers_in(&[TcpState::TIME_WAIT]);
        // What the socket was before may be forgotten; the reason is of such sockets only (tcp_rcv_state_process).
        let by_reason = case.answers_in(&[TcpState::CLOSE]) && case.reason() == "TCP_ABORT_ON_DATA";
        if !by_socket && !by_minisocket && !by_reason {
            return None;
        }
        let who = case.last_owner();
        let remote = case.event.remote;
        let len = case.rst.trigger.map_or(0, |trigger| trigger.len);
        let past = case.past();
        // A process that a signal ends does not decide to close.
        let killed = past.and_then(|past| actor::killed(case.event.last_owner(), past.signal));
        let finding = Finding::certain(match (killed, idle(case)) {
            (Some(how), _) => {
                let since = past.map_or(0, |past| past.closed_ns_ago);
                format!("{who} {how}, and {} later {len} more bytes arrived from {remote}", duration(since))
            }
            (None, Some((idle, since))) => {
                let (idle, since) = (duration(idle), duration(since));
                format!(
                    "{who} had closed an idle connection, unused for {idle}, when {len} more bytes arrived from {remote} {since} later"
                )
            }
            (None, None) if is_shut(case) => {
                format!("{who} had already shut down both directions when {len} more bytes arrived from {remote}")
            }
            (None, None) => format!("{who} had already closed when {len} more bytes arrived from {remote}"),
        });
        Some(match by_minisocket {
            true => {
                finding.inferred("the minisocket was in FIN_WAIT2: in TIME_WAIT it would have answered with an ACK")
            }
            false => finding,
        })
    },
};

/// The process has called shutdown() for both directions, and still has the socket.
fn is_shut(case: &Case<'_>) -> bool {
    case.rst.circumstances.as_ref().is_some_and(|state| state.shut_down && !state.orphan)
}

/// For how long the connection had been idle when this side closed it, if that was long, and how long ago that was, in
/// nanoseconds: a side that keeps idle connections has used one that its peer was giving up.
fn idle(case: &Case<'_>) -> Option<(u64, u64)> {
    /// Less is the pause between a request and its answer; no server gives up an idle connection so soon.
    const IDLE_MS: u64 = 1000;
    let past = case.past()?;
    let idle = past.idle_ms.filter(|&idle| idle >= IDLE_MS)?;
    // A process that ends closes all it has, idle or not.
    let lives = past.owner.as_ref().is_none_or(|owner| owner.ended.is_none());
    lives.then_some((idle * 1_000_000, past.closed_ns_ago))
}
