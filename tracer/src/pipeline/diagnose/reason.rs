//! The reset reason on kernels that do not name one (before 6.10 passive, before 6.12 active), derived
//! from the functions that led to the RST, the socket's state and the segment's flags.
//!
//! The mapping is that of the call sites in 6.12: net/ipv4/tcp_ipv4.c, tcp_minisocks.c, tcp_input.c,
//! tcp.c and tcp_timer.c. Where two reasons share a call site and nothing here tells them apart, none is
//! derived.

use crate::event::{Flags, Rst, RstKind, TcpState};

/// A name of `enum sk_rst_reason` without its prefix, `None` where the evidence does not decide.
pub fn derive(rst: &Rst) -> Option<&'static str> {
    match rst.kind {
        RstKind::Passive => passive(rst),
        RstKind::Active => active(rst),
        // No part of TCP, which the reasons are about.
        RstKind::Firewall | RstKind::Peer | RstKind::Stray => None,
    }
}

/// The socket's state; of one that was closed on the way to the RST, the state before. One that no process
/// has open is forgotten when it is closed, and remembered as the last of these two ends: however long ago that was
/// (the processor may have been taken away meanwhile), since no segment finds a socket that is in CLOSE already.
pub(crate) fn state(rst: &Rst) -> Option<TcpState> {
    let gone = rst.past.as_ref().map(|past| past.closed_from);
    rst.closed_from.or(gone.filter(|_| rst.socket_state == Some(TcpState::CLOSE))).or(rst.socket_state)
}

fn passive(rst: &Rst) -> Option<&'static str> {
    if !rst.socket {
        return Some("NO_SOCKET");
    }
    if is_from(rst, &["tcp_check_req"]) {
        return Some("INVALID_SYN");
    }
    let acks = rst.trigger.is_some_and(|segment| segment.flags.contains(Flags::ACK));
    match state(rst)? {
        TcpState::TIME_WAIT => Some("TCP_TIMEWAIT_SOCKET"),
        TcpState::FIN_WAIT2 if rst.is_for_minisocket() => Some("TCP_TIMEWAIT_SOCKET"),
        // It is tcp_check_req's without that function, which has to have a name to be missed.
        TcpState::LISTEN if acks && rst.stack.iter().any(|frame| !frame.starts_with("0x")) => Some("TCP_FLAGS"),
        TcpState::FIN_WAIT1 | TcpState::FIN_WAIT2 => Some("TCP_ABORT_ON_DATA"),
        // SYN_SENT: TCP_INVALID_ACK_SEQUENCE or TCP_RFC7323_PAWS; SYN_RECV: one of three bad ACKs.
        _ => None,
    }
}

fn active(rst: &Rst) -> Option<&'static str> {
    let state = state(rst);
    if is_from(rst, &["mptcp_", "__mptcp_"]) {
        return None;
    }
    if is_from(rst, &["tcp_disconnect"]) {
        // Unsent data matters in these two states only, and is not known here.
        let closing = matches!(state, Some(TcpState::CLOSING | TcpState::LAST_ACK));
        return Some(if closing { "TCP_DISCONNECT_WITH_DATA" } else { "TCP_STATE" });
    }
    if is_from(rst, &["tcp_abort"]) {
        return Some("TCP_STATE");
    }
    if is_from(rst, &["tcp_out_of_resources", "tcp_write_timer", "tcp_write_timer_handler"]) {
        return Some("TCP_ABORT_ON_MEMORY");
    }
    let in_fin_wait2 = state == Some(TcpState::FIN_WAIT2);
    let circumstances = rst.circumstances.as_ref()?;
    if is_from(rst, &["tcp_keepalive_timer"]) {
        let waits = in_fin_wait2 && circumstances.orphan;
        return Some(if waits { "TCP_STATE" } else { "TCP_KEEPALIVE_TIMEOUT" });
    }
    if is_from(rst, &["__tcp_close", "tcp_close"]) {
        // It looks for data that was not read first, and makes the socket an orphan then.
        return Some(match circumstances.orphan {
            false => "TCP_ABORT_ON_CLOSE",
            true if in_fin_wait2 && circumstances.no_fin_wait2 => "TCP_ABORT_ON_LINGER",
            true => "TCP_ABORT_ON_MEMORY",
        });
    }
    None
}

/// One of the functions, named whole or (with a trailing underscore) by its beginning, is on the stack.
/// The compiler's clones of a function (`.part.0`, `.isra.0`, `.constprop.0`) count as it.
pub(super) fn is_from(rst: &Rst, functions: &[&str]) -> bool {
    rst.stack.iter().any(|frame| {
        let name = frame.split('.').next().unwrap_or_default();
        functions.iter().any(|wanted| name == *wanted || wanted.ends_with('_') && name.starts_with(wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Circumstances, Past, Segment};

    fn rst(kind: RstKind, state: Option<TcpState>, flags: Option<Flags>, stack: &[&str]) -> Rst {
        Rst {
            socket: state.is_some(),
            socket_state: state,
            trigger: flags.map(|flags| Segment { flags, seq: 0, ack: 0, len: 0, ttl: 64, window: 0, ip_id: None }),
            stack: stack.iter().map(|&name| name.to_owned()).collect(),
            ..Rst::bare(kind)
        }
    }

    fn passive(state: Option<TcpState>, flags: Flags, stack: &[&str]) -> Option<&'static str> {
        derive(&rst(RstKind::Passive, state, Some(flags), stack))
    }

    fn aborted(from: TcpState, stack: &[&str]) -> Option<&'static str> {
        let mut rst = rst(RstKind::Active, Some(TcpState::CLOSE), None, stack);
        rst.closed_from = Some(from);
        rst.circumstances = Some(Circumstances::default());
        derive(&rst)
    }

    /// The reason of an abort of an orphaned socket (no process has it open any more).
    fn given_up(from: TcpState, no_fin_wait2: bool, stack: &[&str]) -> Option<&'static str> {
        let mut rst = rst(RstKind::Active, Some(TcpState::CLOSE), None, stack);
        rst.closed_from = Some(from);
        rst.circumstances = Some(Circumstances { orphan: true, no_fin_wait2, ..Circumstances::default() });
        derive(&rst)
    }

    #[test]
    fn answers() {
        let rcv = ["tcp_v4_send_reset", "tcp_v4_rcv"];
        assert_eq!(passive(None, Flags::SYN, &rcv), Some("NO_SOCKET"));
        assert_eq!(passive(Some(TcpState::TIME_WAIT), Flags::ACK, &rcv), Some("TCP_TIMEWAIT_SOCKET"));
        assert_eq!(passive(Some(TcpState::LISTEN), Flags::ACK, &rcv), Some("TCP_FLAGS"));
        assert_eq!(passive(Some(TcpState::FIN_WAIT2), Flags::ACK, &rcv), Some("TCP_ABORT_ON_DATA"));
        let check = ["tcp_v4_send_reset", "tcp_check_req", "tcp_v4_rcv"];
        assert_eq!(passive(Some(TcpState::LISTEN), Flags::SYN, &check), Some("INVALID_SYN"));
        assert_eq!(passive(Some(TcpState::SYN_SENT), Flags::ACK, &rcv), None, "two reasons share this one");
    }

    #[test]
    fn aborts() {
        use TcpState as S;
        let disconnect = ["tcp_send_active_reset", "tcp_disconnect", "__tcp_close"];
        assert_eq!(aborted(S::ESTABLISHED, &disconnect), Some("TCP_STATE"), "SO_LINGER goes through close, too");
        assert_eq!(aborted(S::LAST_ACK, &disconnect), Some("TCP_DISCONNECT_WITH_DATA"));
        let close = ["tcp_send_active_reset", "__tcp_close", "tcp_close"];
        assert_eq!(aborted(S::ESTABLISHED, &close), Some("TCP_ABORT_ON_CLOSE"));
        assert_eq!(aborted(S::FIN_WAIT2, &close), Some("TCP_ABORT_ON_CLOSE"), "half closed, and data unread");
        assert_eq!(given_up(S::FIN_WAIT2, true, &close), Some("TCP_ABORT_ON_LINGER"));
        assert_eq!(given_up(S::FIN_WAIT1, true, &close), Some("TCP_ABORT_ON_MEMORY"));
        assert_eq!(aborted(S::ESTABLISHED, &["tcp_send_active_reset", "tcp_abort"]), Some("TCP_STATE"));
        let timer = ["tcp_send_active_reset", "tcp_keepalive_timer", "call_timer_fn"];
        assert_eq!(given_up(S::FIN_WAIT2, false, &timer), Some("TCP_STATE"));
        assert_eq!(aborted(S::FIN_WAIT2, &timer), Some("TCP_KEEPALIVE_TIMEOUT"), "half closed");
        assert_eq!(aborted(S::ESTABLISHED, &timer), Some("TCP_KEEPALIVE_TIMEOUT"));
        assert_eq!(
            aborted(S::FIN_WAIT1, &["tcp_out_of_resources.part.0", "tcp_write_timer"]),
            Some("TCP_ABORT_ON_MEMORY")
        );
        assert_eq!(aborted(S::ESTABLISHED, &["tcp_send_active_reset", "mptcp_subflow_reset"]), None);
        assert_eq!(aborted(S::ESTABLISHED, &["tcp_send_active_reset", "0xffffffff81234567"]), None);
    }

    #[test]
    fn an_answer_for_a_socket_just_closed_is_of_the_state_before() {
        let mut answer = rst(RstKind::Passive, Some(TcpState::CLOSE), Some(Flags::ACK), &["tcp_v4_send_reset"]);
        assert_eq!(derive(&answer), None);
        answer.past = Some(Past { closed_from: TcpState::FIN_WAIT2, ..crate::pipeline::diagnose::tests::past(None) });
        assert_eq!(derive(&answer), Some("TCP_ABORT_ON_DATA"));
    }

    #[test]
    fn a_peers_reason_is_its_own() {
        assert_eq!(derive(&rst(RstKind::Peer, Some(TcpState::ESTABLISHED), Some(Flags::RST), &["tcp_reset"])), None);
    }
}
