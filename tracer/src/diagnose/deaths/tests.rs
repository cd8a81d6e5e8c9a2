use super::*;
use crate::{
    diagnose::{Confidence, tests::event},
    event::Body,
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
        user_timeout_ms: 0,
        had_rst: false,
        old,
        became: None,
        error: error.map(str::to_owned),
        verdict: None,
    }
}

fn verdict(close: &Close) -> Option<(&'static str, Confidence)> {
    let event = event(0, "10.0.0.1:80", "10.0.0.2:4321", Body::Close(Box::new(close.clone())));
    diagnose(&event, close).map(|verdict| (verdict.cause, verdict.confidence))
}

#[test]
fn each_death_has_its_cause() {
    use TcpState as S;
    let by_user = Close { user_timeout_ms: 500, ..close(End::Timeout, S::ESTABLISHED, Some("ETIMEDOUT")) };
    let unseen = Close { ended_by_observed: false, ..close(End::RstReceived, S::ESTABLISHED, Some("ECONNRESET")) };
    let refused = Close { ended_by_observed: false, ..close(End::Refused, S::SYN_SENT, Some("ECONNREFUSED")) };
    for (close, expected) in [
        (close(End::Timeout, S::SYN_SENT, Some("ETIMEDOUT")), ("no_answer", Confidence::Certain)),
        (by_user, ("user_timeout", Confidence::Certain)),
        (close(End::Timeout, S::CLOSE_WAIT, Some("ETIMEDOUT")), ("retransmission_timeout", Confidence::Certain)),
        (close(End::Timeout, S::ESTABLISHED, None), ("retransmission_timeout", Confidence::Likely)),
        (close(End::Aborted, S::SYN_SENT, Some("ECONNABORTED")), ("destroyed_unopened", Confidence::Certain)),
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
        crate::diagnose::causes::ALL.iter().map(|cause| cause.id).chain(deaths).collect();
    assert_eq!(all.len(), crate::diagnose::causes::ALL.len() + ALL.len());
}
