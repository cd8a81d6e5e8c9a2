//! A kernel that lacks a field or a function: simulated by the kernel's own BTF with the name changed.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use serde_json::Value;

use crate::report::{Trace, abort, btf_without, tracer};

fn doctor(btf: &Path) -> Value {
    let output = tracer().args(["doctor", "-j", "--btf"]).arg(btf).output().unwrap();
    serde_json::from_slice(&output.stdout).expect("doctor prints JSON")
}

#[test]
#[ignore = "needs root"]
fn a_missing_field_costs_one_feature_with_one_sentence() {
    let btf = btf_without("skc_nulls_node");
    // Other tests' events would only take time.
    let netns = fs::metadata("/proc/self/ns/net").unwrap().ino().to_string();
    let mut trace = Trace::start(&["--btf", btf.path().to_str().unwrap(), "--netns", &netns]);
    let degraded = trace.seen[0]["degraded"].as_array().unwrap().clone();
    let about_it = degraded.iter().filter(|sentence| sentence.as_str().unwrap().contains("skc_nulls_node"));
    assert_eq!(about_it.count(), 1, "{degraded:#?}");
    let (aborted, _) = abort();
    let rst = trace.wait("the RST", |event| event["event"] == "rst" && event["local"] == aborted.to_string());
    assert_eq!(rst["direction"], "sent");
    let states = trace.stop();
    let mut states = states.iter().filter(|event| event["event"] == "state");
    assert!(states.all(|event| event["ehash"].is_null()), "membership is unknown, not false");
}

#[test]
#[ignore = "needs root"]
fn a_missing_hook_leaves_the_next_way_or_nothing_but_itself() {
    let btf = btf_without("btf_trace_tcp_send_reset");
    let findings = doctor(btf.path());
    for probe in findings["probes"].as_array().unwrap() {
        let event = probe["event"].as_str().unwrap();
        if event.starts_with("rst_sent") {
            let refused = probe["refused"].to_string();
            assert!(refused.contains("tp_btf"), "{event}: {refused}");
            assert_ne!(probe["chosen"], "tp_btf");
        } else {
            let needs_more = event == "rst_firewall" || event == "accept";
            assert!(probe["chosen"].is_string() || needs_more, "{event} does not need it");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn without_sockets_nothing_works_and_that_is_said() {
    let btf = btf_without("skc_family");
    let output = tracer().args(["trace", "-d", "1", "--btf"]).arg(btf.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("skc_family") && message.lines().count() == 1, "{message}");

    let output = tracer().args(["trace", "-d", "1", "--btf", "/dev/null"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
}
