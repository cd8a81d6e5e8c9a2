//! One RST of every cause, or several where it shows in several ways, as the newest kernels tell it.

use super::*;
use crate::event::{Baseline, Former, Listener, Near};

/// A RST, and the cause that it is to have.
pub(super) struct Handmade {
    pub(super) cause: &'static str,
    pub(super) rst: Rst,
    /// Who has sent segments by hand: of these ends, and of the other's.
    pub(super) raw: Option<Segment>,
    pub(super) injected: Option<Segment>,
    /// Another RST with a lower number came before.
    pub(super) earlier: Option<Earlier>,
}

fn made(cause: &'static str, rst: Rst) -> Handmade {
    Handmade { cause, rst, raw: None, injected: None, earlier: None }
}

/// An answer to a segment without a socket.
fn unknown(cause: &'static str, flags: Flags, change: fn(&mut Rst)) -> Handmade {
    let mut rst =
        Rst { reason: Some("NO_SOCKET".to_owned()), trigger: Some(segment(flags)), ..Rst::bare(RstKind::Passive) };
    change(&mut rst);
    made(cause, rst)
}

/// An answer to a segment of a socket.
fn answer(cause: &'static str, state: TcpState, flags: Flags, reason: &str, stack: &[&str]) -> Handmade {
    let mut rst = known(Rst::bare(RstKind::Passive), state, stack);
    rst.reason = Some(reason.to_owned());
    rst.trigger = Some(segment(flags));
    made(cause, rst)
}

fn known(mut rst: Rst, state: TcpState, stack: &[&str]) -> Rst {
    rst.socket = true;
    rst.socket_state = Some(state);
    let is_mini = [TcpState::TIME_WAIT, TcpState::NEW_SYN_RECV].contains(&state);
    rst.circumstances = (!is_mini).then(Circumstances::default);
    rst.stack = stack.iter().map(|&name| name.to_owned()).collect();
    rst
}

/// An abort that closed the socket, which was in this state.
pub(super) fn abort(
    cause: &'static str,
    from: TcpState,
    reason: &str,
    stack: &[&str],
    change: fn(&mut Circumstances),
) -> Handmade {
    let mut rst = known(Rst::bare(RstKind::Active), TcpState::CLOSE, stack);
    rst.closed_from = Some(from);
    rst.reason = Some(reason.to_owned());
    change(rst.circumstances.get_or_insert_default());
    made(cause, rst)
}

/// An abort by a timer, before the socket is closed.
fn timer(cause: &'static str, state: TcpState, reason: &str, stack: &[&str], orphan: bool) -> Handmade {
    let mut made = abort(cause, state, reason, stack, |_| {});
    (made.rst.socket_state, made.rst.closed_from) = (Some(state), None);
    made.rst.circumstances.get_or_insert_default().orphan = orphan;
    made
}

fn came(cause: &'static str, state: TcpState, change: fn(&mut Circumstances)) -> Handmade {
    let mut rst = known(Rst::bare(RstKind::Peer), state, &["tcp_reset"]);
    change(rst.circumstances.get_or_insert_default());
    made(cause, rst)
}

/// A RST that no kernel of this host sent, though the peer is on this host.
fn rejected(state: TcpState, change: fn(&mut Rst)) -> Handmade {
    let mut made = came("firewall_reject", state, |_| {});
    change(&mut made.rst);
    made
}

/// One whose TTL may not be that of the segments before it.
pub(super) fn from_afar(cause: &'static str, rst: Rst, ttl: u8) -> Handmade {
    let mut rst = known(rst, TcpState::ESTABLISHED, &["tcp_validate_incoming"]);
    rst.trigger = Some(Segment { ttl, ..segment(Flags::RST) });
    rst.baseline =
        Some(Baseline { segments: 9, ttl_low: 51, ttl_high: 52, ip_id: Some(4711), window_low: 500, window_high: 512 });
    made(cause, rst)
}

/// A RST that was ignored.
fn stray(cause: &'static str, state: Option<TcpState>, reason: &str, stack: &[&str]) -> Handmade {
    let bare = Rst::bare(RstKind::Stray);
    let mut rst = match state {
        Some(state) => known(bare, state, stack),
        None => Rst { stack: stack.iter().map(|&name| name.to_owned()).collect(), ..bare },
    };
    rst.reason = Some(reason.to_owned());
    rst.trigger = Some(segment(Flags::RST));
    made(cause, rst)
}

fn near() -> Near {
    let (local, remote) = ("10.0.0.1:80".parse().unwrap(), "10.0.0.9:4321".parse().unwrap());
    Near { local, remote, netns: 1, is_open: true, owner: None }
}

/// Of a SYN that is acknowledged by [`segment`].
const SYN_SENT: Numbers = Numbers { snd_first: 1998, snd_next: 2000, rcv_first: u32::MAX, rcv_next: 0 };

/// All of them.
pub(super) fn all() -> Vec<Handmade> {
    use TcpState as S;
    let (listen, close) = (["tcp_check_req", "tcp_v4_rcv"], ["__tcp_close", "tcp_close", "inet_release"]);
    let disconnect = ["tcp_disconnect", "__tcp_close", "tcp_close"];
    let keep = ["tcp_keepalive_timer", "call_timer_fn"];
    let mut overflow = answer("accept_overflow", S::LISTEN, ACK, "INVALID_SYN", &listen);
    overflow.rst.circumstances = Some(Circumstances { backlog: 2, max_backlog: 1, ..Circumstances::default() });
    let mut early = answer("linger2", S::CLOSE, ACK, "TCP_ABORT_ON_DATA", &[]);
    early.rst.closed_from = Some(S::FIN_WAIT2);
    early.rst.circumstances.get_or_insert_default().no_fin_wait2 = true;
    let mut late = answer("data_after_close", S::CLOSE, ACK, "TCP_ABORT_ON_DATA", &[]);
    late.rst.closed_from = Some(S::FIN_WAIT1);
    let (validate, process) = (["tcp_validate_incoming", "tcp_rcv_established"], ["tcp_rcv_state_process"]);
    let rcv = ["tcp_v4_rcv"];
    let mut assassination = stray("time_wait_assassination", Some(S::TIME_WAIT), "NOT_SPECIFIED", &rcv);
    assassination.rst.expected_seq = Some(segment(Flags::RST).seq);
    let mut waiting = stray("rst_in_fin_wait2", Some(S::FIN_WAIT2), "NOT_SPECIFIED", &rcv);
    (waiting.rst.expected_seq, waiting.rst.circumstances) = (assassination.rst.expected_seq, None);
    let mut late_stray = stray("rst_without_socket", None, "NOT_SPECIFIED", &rcv);
    late_stray.rst.past = Some(past(None));
    let mut waited = stray("rst_in_time_wait", None, "NOT_SPECIFIED", &rcv);
    waited.rst.past = Some(Past { closed_from: S::FIN_WAIT2, ..past(None) });
    let earlier = Some(Earlier { ns: 1000, is_same: true });
    let raw = Some(segment(Flags::SYN));
    let injected = Some(segment(Flags::RST));
    vec![
        made("firewall_reject", Rst::bare(RstKind::Firewall)),
        rejected(S::ESTABLISHED, |rst| rst.peer = Some(near())),
        rejected(S::SYN_SENT, |rst| {
            rst.listeners =
                vec![Listener { netns: 2, address: [0; 4].into(), pid: Pid::of_record(9), comm: "nginx".to_owned() }];
        }),
        unknown("scan_probe", Flags(1), |_| {}),
        unknown("scan_probe", Flags(0), |_| {}),
        Handmade { raw, ..unknown("forged_handshake", SYN_ACK, |_| {}) },
        unknown("listener_elsewhere", Flags::SYN, |rst| {
            rst.listeners =
                vec![Listener { netns: 2, address: [0; 4].into(), pid: Pid::of_record(9), comm: "nginx".to_owned() }];
        }),
        unknown("closed_port", Flags::SYN, |_| {}),
        unknown("never_accepted", ACK, |rst| {
            rst.past = Some(Past { closed_from: S::NEW_SYN_RECV, ..past(None) });
        }),
        unknown("late_answer", SYN_ACK, |rst| {
            rst.past = Some(Past { closed_from: S::SYN_SENT, numbers: SYN_SENT, ..past(None) });
        }),
        unknown("late_answer", SYN_ACK, |rst| {
            rst.past = Some(Past { closed_from: S::SYN_SENT, numbers: SYN_SENT, signal: Some(9), ..past(None) });
        }),
        unknown("timed_out", ACK, |rst| rst.past = Some(past(Some("ETIMEDOUT")))),
        unknown("timed_out", ACK, |rst| {
            rst.past = Some(Past { closed_from: S::ESTABLISHED, error_taken: true, ..past(None) });
        }),
        unknown("late_segment", ACK, |rst| rst.past = Some(past(None))),
        unknown("nat_state_lost", ACK, |rst| {
            rst.near = Some(near());
        }),
        unknown("closed_in_handshake", ACK, |rst| {
            rst.former = Some(Former { owner: None, closed_ns_ago: 700_000_000, signal: None });
        }),
        unknown("half_open", ACK, |rst| {
            rst.former = Some(Former { owner: None, closed_ns_ago: 600_000_000_000, signal: None });
        }),
        unknown("half_open", ACK, |_| {}),
        overflow,
        answer("bad_syn", S::LISTEN, Flags::SYN, "INVALID_SYN", &listen),
        answer("stale_ack", S::LISTEN, ACK, "TCP_FLAGS", &["tcp_v4_do_rcv"]),
        answer("paws_on_connect", S::SYN_SENT, SYN_ACK, "TCP_RFC7323_PAWS", &["tcp_v4_do_rcv"]),
        answer("old_connection", S::SYN_SENT, ACK, "TCP_INVALID_ACK_SEQUENCE", &["tcp_v4_do_rcv"]),
        answer("bad_final_ack", S::SYN_RECV, ACK, "TCP_ACK_UNSENT_DATA", &["tcp_v4_do_rcv"]),
        early,
        late,
        answer("data_after_close", S::TIME_WAIT, ACK, "TCP_TIMEWAIT_SOCKET", &["tcp_v4_rcv"]),
        abort("mptcp", S::ESTABLISHED, "MPTCP_RST_EMPTCP", &["mptcp_subflow_reset"], |_| {}),
        abort("destroyed", S::ESTABLISHED, "TCP_STATE", &["tcp_abort", "tcp_diag_destroy"], |_| {}),
        abort("listener_closed", S::ESTABLISHED, "TCP_STATE", &["tcp_disconnect", "inet_csk_listen_stop"], |_| {}),
        abort("disconnect_unsent", S::LAST_ACK, "TCP_DISCONNECT_WITH_DATA", &disconnect, |_| {}),
        abort("connect_unspec", S::ESTABLISHED, "TCP_STATE", &["tcp_disconnect", "__inet_stream_connect"], |_| {}),
        abort("linger_zero", S::ESTABLISHED, "TCP_STATE", &disconnect, |state| state.lingers = true),
        abort("orphan_limit", S::FIN_WAIT1, "TCP_ABORT_ON_MEMORY", &close, |state| state.orphan = true),
        timer("orphan_limit", S::FIN_WAIT1, "TCP_ABORT_ON_MEMORY", &["tcp_write_timer_handler"], true),
        timer("fin_wait2_timeout", S::FIN_WAIT2, "TCP_STATE", &keep, true),
        timer("keepalive", S::FIN_WAIT2, "TCP_KEEPALIVE_TIMEOUT", &keep, false),
        timer("keepalive", S::ESTABLISHED, "TCP_KEEPALIVE_TIMEOUT", &keep, false),
        abort("linger2", S::FIN_WAIT2, "TCP_ABORT_ON_LINGER", &close, |state| {
            (state.orphan, state.no_fin_wait2) = (true, true);
        }),
        abort("process_killed", S::ESTABLISHED, "TCP_ABORT_ON_CLOSE", &close, |state| {
            (state.unread, state.task_exits, state.signal) = (7, true, Some(9));
        }),
        abort("close_unread", S::CLOSE_WAIT, "TCP_ABORT_ON_CLOSE", &close, |state| state.unread = 8),
        abort("disconnected", S::ESTABLISHED, "TCP_STATE", &["tcp_disconnect", "mystery"], |_| {}),
        Handmade { injected, ..came("injected", S::ESTABLISHED, |state| state.rcv_nxt = 1000) },
        Handmade { earlier, ..came("middlebox", S::ESTABLISHED, |_| {}) },
        Handmade { earlier, ..stray("middlebox", Some(S::ESTABLISHED), "TCP_RESET", &validate) },
        from_afar("middlebox", Rst::bare(RstKind::Peer), 61),
        from_afar("middlebox", Rst::bare(RstKind::Stray), 255),
        came("reset_in_handshake", S::SYN_RECV, |_| {}),
        came("refused", S::SYN_SENT, |_| {}),
        came("idle_limit", S::ESTABLISHED, |state| state.idle_ms = Some(352_000)),
        came("reset_after_close", S::FIN_WAIT1, |_| {}),
        came("reset_while_sending", S::ESTABLISHED, |state| state.unacked = 9),
        came("reset_by_peer", S::ESTABLISHED, |_| {}),
        stray("challenge_ack", Some(S::ESTABLISHED), "TCP_RESET", &validate),
        stray("challenge_ack", None, "TCP_RESET", &validate),
        stray("rst_out_of_window", Some(S::ESTABLISHED), "TCP_INVALID_SEQUENCE", &validate),
        waiting,
        assassination,
        stray("rst_in_time_wait", Some(S::TIME_WAIT), "NOT_SPECIFIED", &rcv),
        waited,
        stray("rst_of_request", Some(S::LISTEN), "NOT_SPECIFIED", &rcv),
        stray("rst_of_request", None, "NOT_SPECIFIED", &rcv),
        stray("rst_at_listener", Some(S::LISTEN), "TCP_RESET", &process),
        stray("rst_at_listener", None, "TCP_RESET", &process),
        stray("rst_without_socket", None, "NO_SOCKET", &rcv),
        late_stray,
        stray("stray", Some(S::SYN_SENT), "TCP_RESET", &process),
        abort("unexplained", S::ESTABLISHED, "NOT_SPECIFIED", &["mystery"], |_| {}),
    ]
}
