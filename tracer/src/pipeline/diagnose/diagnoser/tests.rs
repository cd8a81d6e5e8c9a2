//! What other events tell of a RST, and how many of them are kept.

use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::{
    event::{Circumstances, Confidence, Flags, Near, Overflow, RawKind, RawSend, Rst, TcpState},
    pipeline::diagnose::{
        tests::{event, segment},
        waiting,
    },
    proportional::is_proportional,
};

const HERE: &str = "10.0.0.1:80";
const THERE: &str = "10.0.0.2:4321";

/// A second: longer than a RST is on its way.
const LONG_NS: u64 = 1_000_000_000;

/// What the sender sends next, and the receiver expects.
const SEQ: u32 = 1000;

fn sent(mono_ns: u64) -> Event {
    let mut abort = Rst { stack: vec!["tcp_abort".to_owned()], ..Rst::bare(RstKind::Active) };
    abort.circumstances = Some(Circumstances { snd_nxt: SEQ, snd_wnd: 1, rcv_nxt: 7, ..Circumstances::default() });
    event(mono_ns, HERE, THERE, Body::Rst(Box::new(abort)))
}

fn received(mono_ns: u64) -> Event {
    let mut rst = Rst { socket: true, socket_state: Some(TcpState::ESTABLISHED), ..Rst::bare(RstKind::Peer) };
    rst.circumstances = Some(Circumstances { snd_nxt: 7, rcv_nxt: SEQ, ..Circumstances::default() });
    event(mono_ns, THERE, HERE, Body::Rst(Box::new(rst)))
}

fn verdicts(diagnoser: &mut Diagnoser) -> Vec<(Direction, &'static str, bool)> {
    std::iter::from_fn(|| diagnoser.pop())
        .filter_map(|event| match event.body {
            Body::Rst(rst) => rst.verdict.map(|verdict| (rst.direction, verdict.cause, verdict.of_peer)),
            _ => None,
        })
        .collect()
}

#[test]
fn the_sender_explains_what_came_and_is_shown_before() {
    for (first, second) in [(sent(10), received(20)), (received(10), sent(20))] {
        let mut diagnoser = Diagnoser::default();
        diagnoser.push(first);
        diagnoser.push(second);
        let both = verdicts(&mut diagnoser);
        assert_eq!(both, [(Direction::Sent, "destroyed", false), (Direction::Received, "destroyed", true)]);
    }
}

#[test]
fn another_namespace_is_named() {
    let summary = |change: fn(&mut Event)| {
        let mut diagnoser = Diagnoser::default();
        let mut sent = sent(10);
        change(&mut sent);
        diagnoser.push(sent);
        diagnoser.push(received(20));
        std::iter::from_fn(|| diagnoser.pop()).last().unwrap().verdict().unwrap().summary.clone()
    };
    assert!(summary(|_| {}).starts_with("the peer is on this host: "));
    let unnamed = summary(|sent| sent.netns = Some(77));
    assert!(unnamed.starts_with("the peer is on this host, in netns 77: "), "{unnamed}");
    let named = summary(|sent| (sent.netns, sent.netns_name) = (Some(77), Some("blue".into())));
    assert!(named.starts_with("the peer is on this host, in netns blue: "), "{named}");
}

#[test]
fn what_came_waits_for_its_sender_a_while() {
    let mut diagnoser = Diagnoser::default();
    diagnoser.push(received(10));
    assert!(diagnoser.pop().is_none());
    diagnoser.reach(10 + AFTER_NS);
    assert_eq!(verdicts(&mut diagnoser), [(Direction::Received, "reset_by_peer", false)]);
    // Another connection of the same ends, long after.
    diagnoser.push(sent(20));
    diagnoser.push(received(20 + LONG_NS));
    diagnoser.reach(30 + LONG_NS + AFTER_NS);
    let last = verdicts(&mut diagnoser).pop();
    assert_eq!(last, Some((Direction::Received, "reset_by_peer", false)));
}

/// A program was not started for it, which a kernel does not always tell.
#[test]
fn a_sending_that_was_not_seen_is_not_taken_for_none_where_the_peer_is_here() {
    let confidence = |is_here: bool| {
        let mut diagnoser = Diagnoser::default();
        // Nothing began just before.
        let long_after = 10_000_000_000;
        let mut received = received(long_after);
        if let (true, Body::Rst(rst)) = (is_here, &mut received.body) {
            let (local, remote) = (HERE.parse().unwrap(), THERE.parse().unwrap());
            rst.peer = Some(Near { local, remote, netns: 1, is_open: false, owner: None });
        }
        diagnoser.push(received);
        diagnoser.reach(long_after + SURELY_NS);
        diagnoser.pop().unwrap().verdict().unwrap().confidence
    };
    assert_eq!([true, false].map(confidence), [Confidence::Possible, Confidence::Likely]);
}

/// A socket of which nothing is left to hear was reset by something.
fn received_in_fin_wait1(mono_ns: u64, stack: &[&str]) -> Event {
    let stack = stack.iter().map(|&function| function.to_owned()).collect();
    let rst = Rst { socket: true, socket_state: Some(TcpState::FIN_WAIT1), stack, ..Rst::bare(RstKind::Peer) };
    event(mono_ns, THERE, HERE, Body::Rst(Box::new(rst)))
}

/// To data that came to such a socket.
fn answer(mono_ns: u64) -> Event {
    let mut answer = Rst::bare(RstKind::Passive);
    (answer.socket, answer.socket_state) = (true, Some(TcpState::CLOSE));
    (answer.closed_from, answer.trigger) = (Some(TcpState::FIN_WAIT1), Some(segment(Flags(0x10))));
    event(mono_ns, THERE, HERE, Body::Rst(Box::new(answer)))
}

#[test]
fn an_answer_shows_that_none_had_come() {
    let mut diagnoser = Diagnoser::default();
    diagnoser.push(received_in_fin_wait1(10, &["tcp_reset", "tcp_rcv_state_process"]));
    diagnoser.reach(10 + AFTER_NS);
    assert!(diagnoser.pop().is_none(), "the answer may be late");
    diagnoser.push(answer(20 + AFTER_NS));
    assert_eq!(verdicts(&mut diagnoser), [(Direction::Sent, "data_after_close", false)]);
}

#[test]
fn what_was_seen_to_come_is_not_waited_for() {
    let mut diagnoser = Diagnoser::default();
    diagnoser.push(received_in_fin_wait1(10, &["tcp_reset", "tcp_validate_incoming", "tcp_rcv_state_process"]));
    diagnoser.reach(10 + AFTER_NS);
    assert_eq!(verdicts(&mut diagnoser), [(Direction::Received, "reset_after_close", false)]);
}

#[test]
fn an_injector_is_who_sent_it_just_before() {
    for (came, cause) in [(20, "injected"), (20 + LONG_NS, "reset_by_peer")] {
        let mut diagnoser = Diagnoser::default();
        let send = RawSend { via: RawKind::Raw, segment: segment(Flags::RST) };
        diagnoser.push(event(10, HERE, THERE, Body::RawSend(send)));
        let mut rst = Rst::bare(RstKind::Peer);
        rst.circumstances = Some(Circumstances { rcv_nxt: send_seq(), ..Circumstances::default() });
        diagnoser.push(event(came, THERE, HERE, Body::Rst(Box::new(rst))));
        diagnoser.reach(came + AFTER_NS);
        assert_eq!(verdicts(&mut diagnoser), [(Direction::Received, cause, false)]);
    }
}

fn send_seq() -> u32 {
    segment(Flags::RST).seq
}

/// A flood from forged addresses takes no more memory than some thousand of them.
#[test]
fn memory_is_bounded() {
    let (mut diagnoser, mut verdicts) = (Diagnoser::default(), 0);
    for number in 0..100_000u32 {
        let mut event = match number % 3 {
            0 => sent(u64::from(number) * 1000),
            1 => received(u64::from(number) * 1000),
            _ => {
                let send = RawSend { via: RawKind::Raw, segment: segment(Flags::RST) };
                event(u64::from(number) * 1000, HERE, THERE, Body::RawSend(send))
            }
        };
        let address = Ipv4Addr::from_bits(0x0b00_0000 + number % 50_000);
        event.remote = SocketAddr::new(address.into(), 4321);
        diagnoser.push(event);
        while let Some(event) = diagnoser.pop() {
            verdicts += u32::from(event.verdict().is_some());
        }
        assert!(diagnoser.queue.len() as u64 <= AFTER_NS / 1000 + 1);
    }
    assert!(diagnoser.sent.len() <= 4 * 4096, "{}", diagnoser.sent.len());
    assert!(diagnoser.raw.len() <= 8192, "{}", diagnoser.raw.len());
    assert!(diagnoser.came.len() <= 8192, "{}", diagnoser.came.len());
    assert!(verdicts > 60_000, "{verdicts}");
}

/// Sockets that are reset after their close, and listeners that are full, without end.
#[test]
fn what_is_remembered_of_sockets_and_listeners_is_bounded() {
    let mut diagnoser = Diagnoser::default();
    let mut told = 0;
    for number in 0..20_000u16 {
        let mut own = received_in_fin_wait1(u64::from(number), &[]);
        own.sock = u64::from(number);
        diagnoser.push(own);
        let full = Overflow {
            backlog: 1,
            max_backlog: 1,
            overflows: 1,
            drops: 0,
            listeners: 1,
            observed: true,
            verdict: None,
        };
        let mut full = event(u64::from(number), HERE, THERE, Body::Overflow(Box::new(full)));
        full.local.set_port(number);
        diagnoser.push(full);
        assert!(diagnoser.own.0.len() <= OWN.get() && diagnoser.queues.len() <= queue::MOST);
    }
    diagnoser.reach(u64::MAX);
    while let Some(event) = diagnoser.pop() {
        told += u32::from(event.verdict().is_some());
    }
    assert_eq!(told, 40_000);
}

/// Time stands still, as in a recording that somebody made, so nothing that waits is ever late.
#[test]
fn no_more_events_wait_than_there_is_room_for_and_none_is_lost() {
    const EVENTS: usize = 2 * waiting::MOST;
    let mut diagnoser = Diagnoser::default();
    let mut told = Vec::new();
    for _ in 0..EVENTS {
        diagnoser.push(received(LONG_NS));
        told.extend(std::iter::from_fn(|| diagnoser.pop()));
        assert!(diagnoser.waiting() <= waiting::MOST);
    }
    let early = told.len();
    assert_eq!(early, EVENTS - waiting::MOST + 1);
    diagnoser.reach(u64::MAX);
    told.extend(std::iter::from_fn(|| diagnoser.pop()));
    assert_eq!((told.len(), diagnoser.waiting()), (EVENTS, 0));
    let is_sure = |event: &Event| event.verdict().unwrap().confidence > Confidence::Possible;
    // Of those that had to go before their time nobody knows whether this host sent them.
    assert!(!told[..early].iter().any(is_sure) && told[early..].iter().all(is_sure));
}

/// The clock of a recording may say anything.
#[test]
fn the_end_of_time_is_a_time_like_others() {
    for (sent_ns, came_ns) in [(u64::MAX, u64::MAX), (u64::MAX - 1, u64::MAX), (u64::MAX, u64::MAX - 1)] {
        let mut diagnoser = Diagnoser::default();
        let send = RawSend { via: RawKind::Raw, segment: segment(Flags::RST) };
        diagnoser.push(event(sent_ns, HERE, THERE, Body::RawSend(send)));
        diagnoser.push(received_in_fin_wait1(came_ns, &[]));
        diagnoser.push(answer(sent_ns));
        diagnoser.push(sent(sent_ns));
        diagnoser.push(received(came_ns));
        diagnoser.reach(u64::MAX);
        let told = std::iter::from_fn(|| diagnoser.pop()).count() as u64;
        assert_eq!(told + diagnoser.take_unreported(), 4, "all but what was answered");
    }
}

/// Sockets that may have been reset by no RST, each with answers that are another's: none is a reason to search through
/// all that waits.
#[test]
fn answers_that_are_anothers_take_no_more_time_where_more_waits() {
    let work = |rounds| {
        let mut diagnoser = Diagnoser::default();
        for round in 0..rounds {
            let mut own = received_in_fin_wait1(10, &[]);
            own.sock = 64 * (1 + round % OWN.get()) as u64;
            let mut answer = answer(10);
            (answer.sock, answer.remote) = (own.sock, "10.0.0.9:9".parse().unwrap());
            diagnoser.push(own);
            diagnoser.push(answer);
            assert!(diagnoser.pop().is_none());
        }
    };
    // A square would take 64 times as long.
    assert!(is_proportional(work, 3_000, 24_000, 24));
}

#[test]
fn what_happens_after_the_stop_explains_and_is_not_reported() {
    let mut diagnoser = Diagnoser::new(Watch::since(5));
    diagnoser.push(sent(4));
    diagnoser.push(received(10));
    diagnoser.stop(11);
    diagnoser.reach(11);
    assert!(diagnoser.is_done(), "it was explained by what happened before the start");
    let mut diagnoser = Diagnoser::new(Watch::since(5));
    diagnoser.push(received(10));
    diagnoser.stop(11);
    diagnoser.reach(11);
    assert!(!diagnoser.is_done() && verdicts(&mut diagnoser).is_empty());
    diagnoser.push(sent(12));
    assert_eq!(verdicts(&mut diagnoser), [(Direction::Received, "destroyed", true)]);
    assert!(diagnoser.is_done());
}

#[test]
fn a_trace_that_has_hardly_begun_is_not_sure_of_what_it_has_not_seen() {
    let unknown =
        Rst { trigger: Some(segment(Flags::ACK)), reason: Some("NO_SOCKET".to_owned()), ..Rst::bare(RstKind::Passive) };
    let told = |mono_ns| {
        let mut diagnoser = Diagnoser::new(Watch::since(1_000_000_000));
        diagnoser.push(event(mono_ns, HERE, THERE, Body::Rst(Box::new(unknown.clone()))));
        let event = diagnoser.pop().unwrap();
        let verdict = event.verdict().unwrap();
        (verdict.cause, verdict.confidence)
    };
    assert_eq!(told(1_200_000_000), ("half_open", Confidence::Possible));
    assert_eq!(told(2_000_000_000), ("half_open", Confidence::Likely));
}
