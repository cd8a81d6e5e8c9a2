//! Handmade RSTs, and that each is named as what it is.

use super::*;
use crate::event::{
    Body, Circumstances, Context, Ended, Event, Family, Flags, Known, Numbers, Owner, Past, Pid, Rst, RstKind, Segment,
    Shared, Task, TcpState,
};

mod every_cause;
mod handmade;

pub(super) const ACK: Flags = Flags(0x10);
pub(super) const SYN_ACK: Flags = Flags(0x12);

/// An event between these ends.
pub(crate) fn event(mono_ns: u64, local: &str, remote: &str, body: Body) -> Event {
    Event {
        body,
        time: jiff::Timestamp::UNIX_EPOCH,
        mono_ns,
        netns: Some(1),
        netns_name: None,
        family: Family::Ipv4,
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        cookie: None,
        context: Context::Process,
        task: Task { pid: Pid::of_record(7), tid: Pid::of_record(7), comm: "ss".into() },
        owner: Some(Shared::new(owner())),
        opened: None,
        unremembered: false,
        scenario: None,
        filtered_out: false,
        sock: 1,
    }
}

fn owner() -> Owner {
    Owner {
        pid: Pid::of_record(812),
        tid: Pid::of_record(812),
        comm: "nginx".to_owned(),
        cmdline: None,
        uid: None,
        user: None,
        cgroup: None,
        container: None,
        ended: None,
        known: Known::Call,
    }
}

/// A segment without data.
pub(super) fn segment(flags: Flags) -> Segment {
    Segment { flags, seq: 1000, ack: 2000, len: 0, ttl: 64, window: 512, ip_id: None }
}

/// A socket that was closed a second ago.
pub(super) fn past(error: Option<&str>) -> Past {
    Past {
        owner: None,
        closed_ns_ago: 1_000_000_000,
        open_ns: None,
        closed_from: TcpState::LAST_ACK,
        idle_ms: None,
        unread: 0,
        reset_received: false,
        reset_sent: false,
        repair: false,
        signal: None,
        lifetime_ns: None,
        error: error.map(str::to_owned),
        error_taken: false,
        numbers: Numbers::default(),
    }
}

#[test]
fn an_idle_connection_that_was_closed_is_called_so() {
    let told = |idle_ms, ended| {
        let (mut rst, mut owner) = (Rst::bare(RstKind::Passive), owner());
        owner.ended = ended;
        (rst.socket, rst.socket_state) = (true, Some(TcpState::TIME_WAIT));
        rst.past = Some(Past { owner: Some(Shared::new(owner)), idle_ms, ..past(None) });
        let event = event(1, "10.0.0.1:80", "10.0.0.2:4000", Body::Rst(Box::new(rst.clone())));
        let case = Case {
            event: &event,
            rst: &rst,
            raw_sender: None,
            prober: None,
            injector: None,
            sees_sent: true,
            earlier: None,
            watched_ns: 60_000_000_000,
        };
        let verdict = diagnose(&case).expect("a verdict");
        assert_eq!(verdict.cause, "data_after_close");
        verdict.summary.contains("an idle connection, unused for 5.0 s") && verdict.summary.ends_with("1.0 s later")
    };
    assert!(told(Some(5000), None));
    assert!(!told(Some(20), None), "a pause within a conversation");
    assert!(!told(None, None), "the peer closed first, or that is unknown");
    let exited = Ended { signal: None, status: Some(0), oom: false, by: None };
    assert!(!told(Some(5000), Some(exited)), "it closes all that it has");
}

#[test]
fn what_is_surer_is_more() {
    assert!(Confidence::Possible < Confidence::Likely && Confidence::Likely < Confidence::Certain);
}
