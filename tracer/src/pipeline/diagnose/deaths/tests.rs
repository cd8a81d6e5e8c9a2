use super::*;
use crate::{
    event::{Body, Confidence},
    pipeline::diagnose::tests::event,
};

fn close(ended_by: End, old: TcpState, error: Option<&str>) -> Close {
    Close {
        ended_by,
        ended_by_observed: error.is_some(),
        first: None,
        lifetime_ns: None,
        open_ns: None,
        bytes_in: None,
        bytes_out: None,
        rtt_us: None,
        retransmits: 2,
        unanswered: 2,
        probes: 0,
        user_timeout_ms: 0,
        idle_ms: None,
        window_closed: false,
        unacked: 0,
        unsent: 0,
        reader: None,
        signal: None,
        had_rst: false,
        old,
        became: None,
        error: error.map(str::to_owned),
        verdict: None,
    }
}

fn verdict(close: &Close) -> Option<(&'static str, Confidence)> {
    let event = event(1_000_000_000, "10.0.0.1:80", "10.0.0.2:4321", Body::Close(Box::new(close.clone())));
    diagnose(&event, close, &Watch::since(0)).map(|verdict| (verdict.cause, verdict.confidence))
}

#[test]
fn each_death_has_its_cause() {
    use TcpState as S;
    let by_user = Close { user_timeout_ms: 500, ..close(End::Timeout, S::ESTABLISHED, Some("ETIMEDOUT")) };
    let given_up =
        Close { ended_by_observed: true, lifetime_ns: Some(GAVE_UP_NS), ..close(End::Abandoned, S::SYN_SENT, None) };
    let unread =
        Close { user_timeout_ms: 3000, window_closed: true, unsent: 9, idle_ms: Some(1700), ..by_user.clone() };
    let gone = Close { probes: 3, idle_ms: Some(3200), ..unread.clone() };
    let unseen = Close { ended_by_observed: false, ..close(End::RstReceived, S::ESTABLISHED, Some("ECONNRESET")) };
    let refused = Close { ended_by_observed: false, ..close(End::Refused, S::SYN_SENT, Some("ECONNREFUSED")) };
    for (close, expected) in [
        (close(End::Timeout, S::SYN_SENT, Some("ETIMEDOUT")), ("no_answer", Confidence::Certain)),
        (by_user, ("user_timeout", Confidence::Certain)),
        (close(End::Timeout, S::CLOSE_WAIT, Some("ETIMEDOUT")), ("retransmission_timeout", Confidence::Certain)),
        (close(End::Timeout, S::ESTABLISHED, None), ("retransmission_timeout", Confidence::Likely)),
        (close(End::Aborted, S::SYN_SENT, Some("ECONNABORTED")), ("destroyed_unopened", Confidence::Certain)),
        (given_up, ("connect_abandoned", Confidence::Certain)),
        (Close { probes: 1, ..unread.clone() }, ("zero_window", Confidence::Likely)),
        (Close { idle_ms: None, ..unread.clone() }, ("zero_window", Confidence::Likely)),
        (unread, ("zero_window", Confidence::Certain)),
        (gone, ("user_timeout", Confidence::Certain)),
        (unseen, ("rst_unseen", Confidence::Likely)),
        (close(End::Other, S::SYN_SENT, Some("EHOSTUNREACH")), ("unreachable", Confidence::Likely)),
        (refused, ("unreachable", Confidence::Likely)),
        (close(End::Other, S::SYN_SENT, None), ("unreachable", Confidence::Possible)),
    ] {
        assert_eq!(verdict(&close), Some(expected), "{close:?}");
    }
}

#[test]
fn what_had_a_rst_or_was_closed_is_no_death() {
    let keepalive = Close { had_rst: true, ..close(End::Timeout, TcpState::ESTABLISHED, Some("ETIMEDOUT")) };
    let refused = close(End::Refused, TcpState::SYN_SENT, Some("ECONNREFUSED"));
    let reset = close(End::RstReceived, TcpState::ESTABLISHED, Some("ECONNRESET"));
    let closed = close(End::Fin, TcpState::LAST_ACK, None);
    let aborted = close(End::RstSent, TcpState::ESTABLISHED, None);
    for close in [keepalive, refused, reset, closed, aborted] {
        assert_eq!(verdict(&close), None, "{close:?}");
    }
}

#[test]
fn identifiers_are_no_other_causes() {
    let deaths = ALL.iter().map(|death| death.id);
    let all: std::collections::HashSet<_> =
        crate::pipeline::diagnose::causes::ALL.iter().map(|cause| cause.id).chain(deaths).collect();
    assert_eq!(all.len(), crate::pipeline::diagnose::causes::ALL.len() + ALL.len());
}

#[test]
fn a_rst_that_came_while_probes_were_attached_is_no_finding() {
    let close =
        Close { ended_by_observed: false, ..close(End::RstReceived, TcpState::ESTABLISHED, Some("ECONNRESET")) };
    let watch = Watch::since(1_000_000_000);
    let told = |mono_ns| {
        let event = event(mono_ns, "10.0.0.1:80", "10.0.0.2:4321", Body::Close(Box::new(close.clone())));
        diagnose(&event, &close, &watch).map(|verdict| verdict.cause)
    };
    assert_eq!(told(1_000_000_001), None);
    assert_eq!(told(2_000_000_000), Some("rst_unseen"));
}

#[test]
fn an_attempt_that_another_one_overtook_is_no_death() {
    let close = Close { ended_by_observed: true, retransmits: 0, ..close(End::Abandoned, TcpState::SYN_SENT, None) };
    let after = |lifetime_ns, signal| verdict(&Close { lifetime_ns: Some(lifetime_ns), signal, ..close.clone() });
    assert_eq!(after(GAVE_UP_NS - 1, None), None);
    assert_eq!(after(KILLED_WAITING_NS, None), None);
    assert_eq!(after(KILLED_WAITING_NS, Some(15)), Some(("connect_abandoned", Confidence::Certain)));
    assert_eq!(verdict(&close), None, "how long it waited is not known");
    let again = Close { retransmits: 1, ..close };
    assert_eq!(verdict(&again), Some(("connect_abandoned", Confidence::Certain)));
}

#[test]
fn what_counts_is_told() {
    let said = |close: &Close| {
        let event = event(1_000_000_000, "10.0.0.1:80", "10.0.0.2:4321", Body::Close(Box::new(close.clone())));
        let verdict = diagnose(&event, close, &Watch::since(0)).unwrap();
        verdict.evidence.iter().map(|evidence| evidence.text.clone()).collect::<Vec<_>>()
    };
    let probed = Close { unanswered: 0, probes: 3, ..close(End::Timeout, TcpState::ESTABLISHED, Some("ETIMEDOUT")) };
    assert!(said(&probed).contains(&"3 probes in a row were unanswered".to_owned()));
    assert!(!said(&probed).iter().any(|text| text.contains("retransmissions")));
}
