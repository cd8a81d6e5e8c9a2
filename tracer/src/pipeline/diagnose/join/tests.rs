//! Which RST is which.

use super::*;
use crate::{
    event::{Body, Circumstances, Flags, RstKind, Segment},
    pipeline::diagnose::tests::{event, segment},
};

const SERVER: &str = "10.0.0.1:80";
const CLIENT: &str = "10.0.0.2:4321";
const SERVICE: &str = "10.96.0.1:9000";

const ACK: Flags = Flags(0x10);

/// What the server sends next, and what it has heard.
const SEQ: u32 = 5000;
const HEARD: u32 = 900;

fn state(snd_nxt: u32, rcv_nxt: u32) -> Option<Circumstances> {
    Some(Circumstances { snd_nxt, rcv_nxt, snd_wnd: 1 << 16, ..Circumstances::default() })
}

fn abort() -> Rst {
    Rst { circumstances: state(SEQ, HEARD), ..Rst::bare(RstKind::Active) }
}

fn answer(flags: Flags, seq: u32, ack: u32) -> Rst {
    Rst { trigger: Some(Segment { seq, ack, ..segment(flags) }), ..Rst::bare(RstKind::Passive) }
}

fn reset(state_: TcpState, snd_nxt: u32, rcv_nxt: u32) -> Rst {
    Rst { socket: true, socket_state: Some(state_), circumstances: state(snd_nxt, rcv_nxt), ..Rst::bare(RstKind::Peer) }
}

fn verdict() -> Verdict {
    Verdict {
        cause: "close_unread",
        title: "",
        confidence: Confidence::Certain,
        summary: "".into(),
        evidence: [].into(),
        remedy: "",
        of_peer: false,
    }
}

/// What of a RST that the server's kernel sent to the client is found when one comes: whether translated, whether sure.
fn found(sent: &Rst, from: &str, to: &str, came: &Rst, netns: u32) -> Option<(bool, bool)> {
    let mut joins = Joins::default();
    let body = |rst: &Rst| Body::Rst(Box::new(rst.clone()));
    joins.add(&event(10, from, to, body(sent)), sent, &verdict());
    let (local, remote) =
        if from.starts_with("127") { (to, from) } else { (CLIENT, if netns == 1 { from } else { SERVICE }) };
    let mut came = event(20, local, remote, body(came));
    came.netns = Some(netns);
    joins.find(&came).map(|join| (join.is_translated, join.is_sure))
}

#[test]
fn an_abort_has_the_number_that_is_sent_next() {
    let came = |snd, rcv| found(&abort(), SERVER, CLIENT, &reset(TcpState::ESTABLISHED, snd, rcv), 1);
    assert_eq!(came(HEARD, SEQ), Some((false, true)));
    assert_eq!(came(HEARD, SEQ + 1), Some((false, true)), "the FIN before it once more");
    assert_eq!(came(HEARD, SEQ - 1000), Some((false, false)), "behind a hole");
    assert_eq!(came(HEARD, SEQ + 2), None, "another connection");
    assert_eq!(came(HEARD, SEQ.wrapping_sub(1 << 24)), None);
}

#[test]
fn an_answer_has_the_number_that_was_acknowledged() {
    let came = |rst| found(&answer(ACK, HEARD, SEQ), SERVER, CLIENT, &rst, 1);
    assert_eq!(came(reset(TcpState::ESTABLISHED, HEARD, SEQ)), Some((false, true)));
    assert_eq!(came(reset(TcpState::ESTABLISHED, HEARD, SEQ + 100)), None);
    let syn = |rst| found(&answer(Flags::SYN, 77, 0), SERVER, CLIENT, &rst, 1);
    assert_eq!(syn(reset(TcpState::SYN_SENT, 78, 0)), Some((false, true)));
    assert_eq!(syn(reset(TcpState::SYN_SENT, 79, 0)), None);
    let seen = |seq, flags| Rst {
        trigger: Some(Segment { seq, ack: 78, ..segment(flags) }),
        ..reset(TcpState::SYN_SENT, 78, 0)
    };
    assert_eq!(syn(seen(0, Flags(0x14))), Some((false, true)));
    assert_eq!(syn(seen(1, Flags(0x14))), None);
}

#[test]
fn behind_a_translated_address_numbers_tell() {
    let came = |rst| found(&abort(), SERVER, CLIENT, &rst, 2);
    assert_eq!(came(reset(TcpState::ESTABLISHED, HEARD, SEQ)), Some((true, true)));
    assert_eq!(came(reset(TcpState::ESTABLISHED, HEARD, SEQ - 1000)), None, "a hole could be anybody's");
    let to_gateway = |rst| found(&abort(), SERVER, "10.0.0.254:61000", &rst, 2);
    assert_eq!(to_gateway(reset(TcpState::ESTABLISHED, HEARD, SEQ)), Some((true, true)), "the numbers of both ways");
    assert_eq!(to_gateway(reset(TcpState::ESTABLISHED, HEARD - 1, SEQ)), None, "never sent that far");
    let refused = answer(Flags::SYN, 77, 0);
    let refuse = |to| found(&refused, SERVER, to, &reset(TcpState::SYN_SENT, 78, 0), 2);
    assert_eq!(refuse(CLIENT), Some((true, true)));
    assert_eq!(refuse("10.0.0.254:61000"), Some((true, false)), "one number is not much");
}

#[test]
fn loopback_does_not_leave_its_namespace() {
    let came =
        |netns| found(&abort(), "127.0.0.1:80", "127.0.0.1:4321", &reset(TcpState::ESTABLISHED, HEARD, SEQ), netns);
    assert_eq!(came(1), Some((false, true)));
    assert_eq!(came(2), None);
}

#[test]
fn each_of_two_is_found_once() {
    let mut joins = Joins::default();
    for (at, cause) in [(10, "close_unread"), (11, "late_segment")] {
        let rst = abort();
        let verdict = Verdict { cause, ..verdict() };
        joins.add(&event(at, SERVER, CLIENT, Body::Rst(Box::new(rst.clone()))), &rst, &verdict);
    }
    let came = event(20, CLIENT, SERVER, Body::Rst(Box::new(reset(TcpState::ESTABLISHED, HEARD, SEQ))));
    let next = || joins.find(&came).unwrap().verdict(&came, None).cause;
    assert_eq!([next(), next(), next()], ["close_unread", "late_segment", "close_unread"]);
}

fn came_at(mono_ns: u64, sock: u64, rst: Rst) -> (Event, Rst) {
    let mut event = event(mono_ns, CLIENT, SERVER, Body::Rst(Box::new(rst.clone())));
    event.sock = sock;
    (event, rst)
}

fn earlier(first: &(Event, Rst), second: &(Event, Rst)) -> Option<bool> {
    let mut series = Series::default();
    series.add(&first.0, &first.1);
    series.earlier(&second.0, &second.1).map(|earlier| earlier.is_same)
}

#[test]
fn a_series_is_of_one_connection() {
    let reset_at = |at, sock, seq| came_at(at, sock, reset(TcpState::ESTABLISHED, 1, seq));
    let stray = |at, sock, seq, expected| {
        let state = (sock != 0).then_some(TcpState::ESTABLISHED);
        let circumstances = (sock != 0).then(|| self::state(1, expected)).flatten();
        let trigger = Some(Segment { seq, ..segment(Flags::RST) });
        came_at(at, sock, Rst { socket_state: state, circumstances, trigger, ..Rst::bare(RstKind::Stray) })
    };
    assert_eq!(earlier(&reset_at(10, 7, 100), &reset_at(20, 8, 200)), None, "a port used again");
    assert_eq!(earlier(&reset_at(10, 7, 100), &reset_at(20, 7, 200)), None, "even where the socket's address is, too");
    assert_eq!(earlier(&reset_at(10, 7, 100), &stray(20, 0, 200, 0)), Some(true));
    assert_eq!(earlier(&stray(10, 7, 150, 100), &stray(20, 7, 200, 100)), Some(true));
    assert_eq!(earlier(&stray(10, 7, 150, 100), &stray(20, 8, 200, 100)), None);
    assert_eq!(earlier(&stray(10, 7, 50, 100), &stray(20, 7, 100, 100)), None, "TCP may have answered two segments");
    assert_eq!(earlier(&stray(10, 0, 50, 0), &stray(20, 0, 100, 0)), Some(false));
}
