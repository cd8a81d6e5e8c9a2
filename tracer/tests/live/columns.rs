//! Every mechanism reports alike: what one reports, the others report too, but for what they are declared
//! not to see.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use serde_json::{Map, Value};
use tracer::kernel::probes::{Limitation, Probe};

use crate::{
    demo::{self, by_family},
    report::{objects, of_kind, tracer},
};

/// A column of the probe plan, and the fields that it may leave out or see otherwise.
pub(crate) struct ProbeFamily {
    pub(crate) name: &'static str,
    blind: BTreeSet<String>,
    /// What the demo reported by it, over IPv4 and over IPv6.
    demo: [Vec<Value>; 2],
}

/// The columns that can observe all that the comparison needs on this kernel, the automatic one first.
pub(crate) fn columns() -> &'static [ProbeFamily] {
    static COLUMNS: OnceLock<Vec<ProbeFamily>> = OnceLock::new();
    COLUMNS.get_or_init(|| ["auto", "tp", "fentry", "kprobe"].into_iter().filter_map(column).collect())
}

/// The fields that some column may leave out or see otherwise.
pub(crate) fn blind() -> BTreeSet<String> {
    columns().iter().flat_map(|column| column.blind.iter().cloned()).collect()
}

fn column(name: &'static str) -> Option<ProbeFamily> {
    let (start, demo) = match name {
        "auto" => (demo::whole().start.clone(), demo::whole().families.each_ref().map(|demo| demo.objects.clone())),
        _ => {
            let output = tracer().args(["demo", "-j", "-4", "-6", "--probes", name]).output().unwrap();
            let objects = objects(&output.stdout);
            let Some(start) = objects.first() else {
                println!("{name} is left out: {}", String::from_utf8_lossy(&output.stderr));
                return None;
            };
            for report in of_kind(&objects, "scenario") {
                let outcome = report["outcome"].as_str().unwrap_or_default();
                assert!(!outcome.starts_with("waited"), "{name}: what no probe reports is not waited for: {outcome}");
            }
            (start.clone(), by_family(&objects))
        }
    };
    // The others have one way only, and the scenarios none of them.
    let compared = |probe: &&Probe| !probe.is_auxiliary() && **probe != Probe::RstFirewall;
    for probe in Probe::ALL.iter().filter(compared) {
        // What the demo does not ask for is not there.
        if start["probes"].get(probe.name()).is_some_and(Value::is_null) {
            println!("{name} is left out: it cannot see {} here", probe.name());
            return None;
        }
    }
    let degraded = start["degraded"].as_array().expect("sentences");
    let is_blind = |blind: &&Limitation| degraded.iter().any(|said| said.as_str().unwrap().contains(blind.text()));
    let blind = Limitation::ALL.iter().filter(is_blind).filter_map(|blind| blind.field().map(str::to_owned)).collect();
    println!("{name} takes part; it is blind for {blind:?}");
    Some(ProbeFamily { name, blind, demo })
}

/// What must be the same in each run: per scenario, pair of ends and kind, the events in their order,
/// without what differs from run to run.
pub(crate) fn essence(objects: &[Value], without: &BTreeSet<String>) -> BTreeMap<String, Vec<Value>> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for event in
        objects.iter().filter(|object| ["state", "rst", "raw_send"].iter().any(|kind| object["event"] == *kind))
    {
        let kept = [
            "event",
            "family",
            "old",
            "new",
            "direction",
            "kind",
            "reason",
            "socket",
            "socket_state",
            "closed_from",
            "flags",
            "len",
            "trigger",
            "cookie",
        ];
        let mut essence = Map::new();
        for field in kept.into_iter().filter(|field| !without.contains(*field)) {
            let value = match (field, &event[field]) {
                // A number of its own in each run.
                ("cookie", cookie) => Value::from(cookie.is_null()),
                ("trigger", Value::Object(segment)) => {
                    serde_json::json!({ "flags": segment["flags"], "len": segment["len"], "ttl": segment["ttl"] })
                }
                (_, value) => value.clone(),
            };
            essence.insert(field.to_owned(), value);
        }
        let hashed = &event["ehash"]["hashed"];
        essence.insert("hashed".to_owned(), hashed.clone());
        // Kinds apart: a process that sends and the wire that answers it race.
        let ends = format!("{} {} {} {}", event["scenario"], event["local"], event["remote"], event["event"]);
        all.entry(ends).or_default().push(essence.into());
    }
    all
}

#[test]
#[ignore = "needs root"]
fn all_mechanisms_report_the_same_or_are_refused() {
    let columns = columns();
    assert!(columns.len() > 1, "the automatic choice is made of one column at least");
    let without = blind();
    for column in &columns[1..] {
        for (first, this) in columns[0].demo.iter().zip(&column.demo) {
            let reports = of_kind(this, "scenario");
            assert!(!reports.is_empty(), "{}", column.name);
            for report in reports {
                assert_eq!(report["ok"], true, "{}: {report:#}", column.name);
            }
            let (first, this) = (essence(first, &without), essence(this, &without));
            for (ends, events) in &first {
                assert_eq!(Some(events), this.get(ends), "{} {ends}", column.name);
            }
            assert_eq!(first.len(), this.len(), "{}", column.name);
        }
    }
    check_refusals();
}

/// A column that this kernel lacks is refused, with what would be lost.
fn check_refusals() {
    let here: Vec<&str> = columns().iter().map(|column| column.name).collect();
    for name in ["tp", "fentry", "kprobe"].into_iter().filter(|name| !here.contains(name)) {
        let output = tracer().args(["trace", "-d", "0.05", "--probes", name]).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        match output.status.code() {
            // It lacks a part only, and says in its first lines which.
            Some(0) => assert!(String::from_utf8(output.stdout).unwrap().contains("not observed"), "{name}"),
            Some(69) => {
                assert_eq!(message.lines().count(), 1, "{message}");
                assert!(message.contains("state change") && message.contains("RST received"), "{message}");
            }
            other => panic!("{name}: {other:?} {message}"),
        }
    }
}
