//! The demo, held against what the wire, `/proc/net/snmp` and the sockets themselves say.

use std::{collections::BTreeSet, sync::OnceLock};

use serde_json::Value;

use crate::{
    report::{objects, of_kind, tracer},
    wire::{self, Segment},
};

const SCENARIOS: [&str; 6] =
    ["listener", "self-connect", "simultaneous-open", "raw-handshake", "raw-handshake-filtered", "closed-port"];

/// One family's part of a run of the whole demo, and what was on its wires.
pub(crate) struct Demo {
    pub(crate) objects: Vec<Value>,
    wire: Vec<Segment>,
}

/// A run over both families, and how it observed.
pub(crate) struct Run {
    pub(crate) start: Value,
    pub(crate) families: [Demo; 2],
}

/// One serves all tests that only look.
pub(crate) fn whole() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("wire.pcapng");
        // Not `run`: the tests say what is wrong with a scenario.
        let output = tracer().args(["demo", "-j", "-4", "-6", "--pcap"]).arg(&file).output().unwrap();
        let mut wire = wire::read(&file);
        let objects = objects(&output.stdout);
        let families = by_family(&objects).map(|objects| {
            let is_ipv6 = objects[0]["family"] == "ipv6";
            let wire = wire.extract_if(.., |segment| segment.source.is_ipv6() == is_ipv6).collect();
            Demo { objects, wire }
        });
        Run { start: objects[0].clone(), families }
    })
}

/// The events and reports of a run over both families, apart; each has the summary of both.
pub(crate) fn by_family(objects: &[Value]) -> [Vec<Value>; 2] {
    ["ipv4", "ipv6"].map(|family| {
        let belongs = |object: &&Value| object["family"] == family || object["event"] == "summary";
        objects.iter().filter(belongs).cloned().collect()
    })
}

fn in_both_families(check: impl Fn(&[Value])) {
    for demo in &whole().families {
        check(&demo.objects);
    }
}

#[test]
#[ignore = "needs root"]
fn every_scenario_is_ok() {
    in_both_families(|objects| {
        let reports = of_kind(objects, "scenario");
        let names: Vec<_> = reports.iter().map(|report| report["scenario"].as_str().unwrap()).collect();
        assert_eq!(names, SCENARIOS);
        for report in reports {
            assert_eq!(report["ok"], true, "{report:#}");
        }
        let summary = objects.last().unwrap();
        assert_eq!(summary["event"], "summary");
        assert!(summary["answer"][0].as_str().unwrap().contains("Yes"), "{summary:#}");
    });
}

#[test]
#[ignore = "needs root"]
fn every_event_has_the_documented_fields() {
    in_both_families(|objects| {
        let events = objects.iter().filter(|object| object.get("mono_ns").is_some()).collect::<Vec<_>>();
        assert!(events.len() > 50, "{}", events.len());
        for event in events {
            let text = |field: &str| event[field].as_str().unwrap_or_else(|| panic!("{field} in {event:#}"));
            let time = text("time");
            assert!(time.len() == 30 && time.ends_with('Z') && time.as_bytes()[19] == b'.', "{time}");
            assert!(event["netns"].as_u64().is_some_and(|inode| inode > 0), "{event:#}");
            assert!(["ipv4", "ipv6"].contains(&text("family")));
            for end in ["local", "remote"] {
                text(end).parse::<std::net::SocketAddr>().unwrap_or_else(|_| panic!("{end} in {event:#}"));
            }
            assert!(event["cookie"].is_u64() || event["cookie"].is_null());
            assert!(["process", "softirq", "timer"].contains(&text("context")), "{event:#}");
            assert!(event["task"]["pid"].is_u64() && event["task"]["tid"].is_u64(), "{event:#}");
            assert!(event["task"]["comm"].is_string());
            assert!(SCENARIOS.contains(&text("scenario")));
            match text("event") {
                "state" => {
                    assert!(event["old"].is_string() && event["new"].is_string());
                    let ehash = &event["ehash"];
                    assert!(ehash.is_null() || ehash["hashed"].is_boolean() && ehash["hash"].is_u64(), "{event:#}");
                    // Membership and bucket come together, on every kernel tested so far.
                    assert_eq!(ehash["hashed"] == true, ehash["bucket"].is_u64(), "{event:#}");
                }
                "lookup" => {
                    assert!(["ehash", "listener"].contains(&text("table")));
                    assert_eq!(event["hit"] == true, event["state"].is_string(), "{event:#}");
                    assert!(["probe", "sock_diag"].contains(&text("observed")));
                }
                "rst" => {
                    assert!(["sent", "received"].contains(&text("direction")));
                    assert!(event["socket"].is_boolean());
                    assert!(event["trigger"].is_null() || event["trigger"]["flags"].is_string());
                    let stack = event["stack"].as_array().unwrap();
                    assert!(!stack.is_empty(), "{event:#}");
                    let innermost = stack[0].as_str().unwrap();
                    assert!(innermost.contains("reset"), "the probe's own frames are cut off: {innermost}");
                }
                "raw_send" => {
                    assert!(event["flags"].is_string() && event["seq"].is_u64() && event["ack"].is_u64());
                }
                other => panic!("unknown event {other}"),
            }
        }
    });
}

#[test]
#[ignore = "needs root"]
fn the_wire_and_the_events_agree() {
    for demo in &whole().families {
        for scenario in SCENARIOS {
            let events: Vec<&Value> = demo.objects.iter().filter(|object| object["scenario"] == scenario).collect();
            let wire: Vec<&Segment> = demo.wire.iter().filter(|segment| segment.scenario == scenario).collect();
            assert!(!wire.is_empty(), "{scenario} was captured");
            compare(scenario, &wire, &events);
        }
    }
}

/// Every SYN, SYN+ACK and RST on the wire has its events, and the other way round.
fn compare(scenario: &str, wire: &[&Segment], events: &[&Value]) {
    let is = |event: &Value, kind: &str| event["event"] == kind;
    let changes = |old: &str, new: &str| -> Vec<String> {
        let all = events.iter().filter(|event| is(event, "state") && event["old"] == old && event["new"] == new);
        sorted(all.map(|event| tuple(event)))
    };
    let segments = |wanted: fn(&Segment) -> bool| -> Vec<String> {
        sorted(
            wire.iter()
                .filter(|segment| wanted(segment))
                .map(|s| format!("{} {} {}", s.netns, s.source, s.destination)),
        )
    };

    // SYN: a socket went to SYN_SENT, or a raw socket sent it.
    let raw_syns = events.iter().filter(|event| is(event, "raw_send") && event["flags"] == "SYN");
    let opened = sorted(changes("CLOSE", "SYN_SENT").into_iter().chain(raw_syns.map(|event| tuple(event))));
    assert_eq!(segments(|s| s.syn && !s.ack), opened, "{scenario}: SYN");

    // SYN+ACK: its sender went to SYN_RECV, or its receiver answered it with a RST.
    let answered: BTreeSet<_> = events
        .iter()
        .filter(|event| is(event, "rst") && event["trigger"]["flags"] == "SYN|ACK")
        .map(|event| event["trigger"]["seq"].as_u64().unwrap())
        .collect();
    let simultaneous = changes("SYN_SENT", "SYN_RECV");
    // Its first event, LISTEN -> SYN_RECV, has no remote end yet on kernels as old as 6.1.
    let passive: Vec<String> =
        changes("SYN_RECV", "ESTABLISHED").into_iter().filter(|it| !simultaneous.contains(it)).collect();
    for syn_ack in wire.iter().filter(|segment| segment.syn && segment.ack) {
        let sender = format!("{} {} {}", syn_ack.netns, syn_ack.source, syn_ack.destination);
        let explained =
            simultaneous.contains(&sender) || passive.contains(&sender) || answered.contains(&u64::from(syn_ack.seq));
        assert!(explained, "{scenario}: nothing was reported for {syn_ack:?}");
    }
    let syn_acks = segments(|s| s.syn && s.ack);
    for sender in simultaneous.iter().chain(&passive) {
        assert!(syn_acks.contains(sender), "{scenario}: no SYN+ACK from {sender} on the wire");
    }

    // RST: each one that the kernel made, unless the filter took it away; and a raw one would be reported too.
    let sent = sorted(
        events.iter().filter(|event| is(event, "rst") && event["direction"] == "sent").map(|event| tuple(event)),
    );
    let on_wire = segments(|s| s.rst);
    if scenario == "raw-handshake-filtered" {
        assert_eq!((on_wire.len(), sent.len()), (0, 3), "{scenario}: the filter drops every RST");
    } else {
        assert_eq!(on_wire, sent, "{scenario}: RST");
    }
    let resets = events.iter().filter(|event| is(event, "rst") && event["direction"] == "received");
    for reset in resets {
        let arrived = wire
            .iter()
            .any(|s| s.rst && reset["local"] == s.destination.to_string() && reset["remote"] == s.source.to_string());
        assert!(arrived, "{scenario}: no such RST on the wire: {reset:#}");
    }
}

/// Namespace, local and remote end of an event.
fn tuple(event: &Value) -> String {
    format!("{} {} {}", event["netns"], event["local"].as_str().unwrap(), event["remote"].as_str().unwrap())
}

fn sorted(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<_> = all.collect();
    all.sort();
    all
}

#[test]
#[ignore = "needs root"]
fn counters_and_sockets_agree_with_the_events() {
    in_both_families(|objects| {
        for report in of_kind(objects, "scenario") {
            let (name, facts) = (&report["scenario"], &report["facts"]);
            let sent: Vec<&Value> = of_kind(objects, "rst")
                .into_iter()
                .filter(|rst| rst["scenario"] == *name && rst["direction"] == "sent")
                .collect();
            // OutRsts of /proc/net/snmp, in the namespace that sends RSTs if any does.
            assert_eq!(facts["out_rsts"].as_u64().unwrap_or(0), sent.len() as u64, "{report:#}");
            // TCP_INFO while the connection stood, against the states that the probes reported.
            let says_established = facts["tcp_info"].to_string().contains("ESTABLISHED");
            let seen = of_kind(objects, "state")
                .iter()
                .any(|event| event["scenario"] == *name && event["new"] == "ESTABLISHED");
            assert_eq!(says_established, seen, "{report:#}");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn the_raw_sender_is_named() {
    in_both_families(|objects| {
        let objects: Vec<Value> = objects.iter().filter(|o| o["scenario"] == "raw-handshake").cloned().collect();
        let objects = objects.as_slice();
        let syn = of_kind(objects, "raw_send")[0];
        assert_eq!((&syn["flags"], &syn["task"]["comm"]), (&"SYN".into(), &"forger".into()), "{syn:#}");
        let rst = of_kind(objects, "rst")[0];
        assert_eq!(rst["socket"], false);
        assert_eq!(rst["kind"], "passive");
        assert_eq!(rst["trigger"]["flags"], "SYN|ACK");
        assert_eq!(rst["context"], "softirq");
        assert!(rst["reason"] == "NO_SOCKET" || rst["reason"].is_null(), "{rst:#}");
        let misses = of_kind(objects, "lookup")
            .into_iter()
            .filter(|lookup| lookup["local"] == rst["local"] && lookup["hit"] == false)
            .map(|lookup| lookup["table"].as_str().unwrap())
            .collect::<BTreeSet<_>>();
        assert_eq!(misses, BTreeSet::from(["ehash", "listener"]));
    });
}
