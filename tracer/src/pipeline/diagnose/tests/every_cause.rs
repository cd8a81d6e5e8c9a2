//! Rules against handmade RSTs.

use std::collections::BTreeSet;

use super::{
    handmade::{Handmade, abort, all, from_afar},
    *,
};

/// What `ask` finds about a handmade RST.
fn about<T>(made: &Handmade, ask: impl FnOnce(&Case<'_>) -> T) -> T {
    let sender = |segment: Option<Segment>| segment.map(|segment| Sender { owner: None, segment });
    let (raw, injector) = (sender(made.raw), sender(made.injected));
    let event = event(0, "10.0.0.1:80", "10.0.0.2:4321", Body::Rst(Box::new(made.rst.clone())));
    ask(&Case {
        event: &event,
        rst: &made.rst,
        raw_sender: raw.as_ref(),
        prober: None,
        injector: injector.as_ref(),
        sees_sent: true,
        earlier: made.earlier,
        watched_ns: 60_000_000_000,
    })
}

fn verdict(made: &Handmade) -> (&'static str, Confidence) {
    let verdict = about(made, diagnose).expect("one of the rules applies");
    (verdict.cause, verdict.confidence)
}

/// As a kernel tells it that names no reasons.
fn without_names(mut made: Handmade) -> Handmade {
    // Why a segment was dropped is another list of names.
    if made.rst.kind != RstKind::Stray {
        made.rst.reason = None;
    }
    made.rst.derived_reason = reason::derive(&made.rst);
    made
}

#[test]
fn every_cause_is_found() {
    let found: BTreeSet<_> = all()
        .iter()
        .map(|made| {
            assert_eq!(verdict(made).0, made.cause);
            made.cause
        })
        .collect();
    assert_eq!(found, causes::ALL.iter().map(|cause| cause.id).collect());
}

#[test]
fn older_kernels_tell_almost_as_much() {
    for made in all().into_iter().map(without_names) {
        let (cause, confidence) = verdict(&made);
        // A bad timestamp and a bad acknowledgment look the same there.
        if made.cause == "paws_on_connect" {
            assert_eq!((cause, confidence), ("old_connection", Confidence::Likely));
        } else {
            assert_eq!(cause, made.cause, "{:?}", made.rst.derived_reason);
        }
    }
}

/// Where kernel functions have no names (kptr_restrict, a lockdown), verdicts may be worse, not wrong.
#[test]
fn without_functions_nothing_wrong_is_certain() {
    for mut made in all() {
        made.rst.stack.clear();
        let named = verdict(&made);
        assert!(named.0 == made.cause || named.1 < Confidence::Certain, "{}: {named:?}", made.cause);
        let made = without_names(made);
        let unnamed = verdict(&made);
        assert!(unnamed.0 == made.cause || unnamed.1 < Confidence::Certain, "{}: {unnamed:?}", made.cause);
    }
}

/// A rule that is certain of what is another's is more general than that, and asked after it.
#[test]
fn only_the_more_general_are_certain_of_what_is_not_theirs() {
    let general = [
        ("firewall_reject", "refused"),
        ("listener_elsewhere", "closed_port"),
        ("timed_out", "late_segment"),
        ("late_answer", "late_segment"),
        ("accept_overflow", "bad_syn"),
        ("accept_overflow", "stale_ack"),
        ("linger2", "data_after_close"),
        ("disconnect_unsent", "linger_zero"),
        ("fin_wait2_timeout", "keepalive"),
        ("process_killed", "close_unread"),
        ("time_wait_assassination", "rst_in_time_wait"),
        ("middlebox", "challenge_ack"),
    ];
    for made in all() {
        for cause in causes::ALL.iter().filter(|cause| cause.id != made.cause) {
            let found = about(&made, |case| (cause.rule)(case).map(|finding| finding.confidence));
            let is_general = general.contains(&(made.cause, cause.id));
            assert!(found < Some(Confidence::Certain) || is_general, "{} is certain of {}", cause.id, made.cause);
        }
    }
}

#[test]
fn an_idle_limit_is_a_guess_near_a_known_one() {
    let mut made = all().into_iter().find(|made| made.cause == "idle_limit").unwrap();
    for (seconds, cause) in [
        (239, "reset_by_peer"),
        (240, "idle_limit"),
        (254, "idle_limit"),
        (255, "reset_by_peer"),
        (350, "idle_limit"),
        (600, "idle_limit"),
    ] {
        made.rst.circumstances.get_or_insert_default().idle_ms = Some(seconds * 1000);
        let found = verdict(&made);
        assert_eq!(found.0, cause, "{seconds}");
        assert!(found.1 < Confidence::Certain);
    }
}

#[test]
fn what_was_injected_must_fit() {
    let mut made = all().into_iter().find(|made| made.cause == "injected").unwrap();
    assert_eq!(verdict(&made), ("injected", Confidence::Certain));
    made.rst.circumstances.get_or_insert_default().rcv_nxt = 5000;
    assert_eq!(verdict(&made), ("injected", Confidence::Likely));
}

#[test]
fn the_farther_off_its_way_the_surer_a_rst_is_anothers() {
    for (ttl, expected) in [
        (51, ("reset_by_peer", Confidence::Likely)),
        (52, ("reset_by_peer", Confidence::Likely)),
        (54, ("middlebox", Confidence::Possible)),
        (55, ("middlebox", Confidence::Likely)),
        (49, ("middlebox", Confidence::Possible)),
        (48, ("middlebox", Confidence::Likely)),
    ] {
        assert_eq!(verdict(&from_afar("middlebox", Rst::bare(RstKind::Peer), ttl)), expected, "{ttl}");
    }
    let made = from_afar("reset_by_peer", Rst::bare(RstKind::Peer), 52);
    let said: Vec<_> = about(&made, diagnose).unwrap().evidence.iter().map(|evidence| evidence.text.clone()).collect();
    assert!(said.contains(&"its TTL is 52, that of the 9 segments before was 51 to 52".to_owned()), "{said:?}");
    assert!(said.contains(&"its window is 512, theirs was 500 to 512".to_owned()), "{said:?}");
}

/// The programs take no stack of such an abort.
#[test]
fn linger_zero_shows_in_the_socket_too() {
    use TcpState as S;
    let closed = |from, reason, change| verdict(&abort("linger_zero", from, reason, &[], change));
    let lingers = |state: &mut Circumstances| (state.lingers, state.shut_down) = (true, true);
    for open in [S::ESTABLISHED, S::CLOSE_WAIT] {
        assert_eq!(closed(open, "TCP_STATE", lingers), ("linger_zero", Confidence::Certain));
    }
    assert_ne!(closed(S::FIN_WAIT1, "TCP_STATE", lingers).0, "linger_zero");
    assert_ne!(closed(S::ESTABLISHED, "TCP_STATE", |state| state.lingers = true).0, "linger_zero");
    assert_ne!(closed(S::ESTABLISHED, "TCP_STATE", |state| state.shut_down = true).0, "linger_zero");
    assert_eq!(closed(S::ESTABLISHED, "TCP_ABORT_ON_CLOSE", lingers).0, "close_unread");
}

/// Where the numbers are not known it may be an earlier attempt's.
#[test]
fn an_answer_to_another_syn_is_only_likely_the_late_one() {
    let mut made = all().into_iter().find(|made| made.cause == "late_answer").unwrap();
    assert_eq!(verdict(&made), ("late_answer", Confidence::Certain));
    made.rst.past.as_mut().unwrap().numbers = Numbers::default();
    assert_eq!(verdict(&made), ("late_answer", Confidence::Likely));
}
