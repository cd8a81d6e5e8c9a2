//! A kernel that lacks a field or a function: simulated by the kernel's own BTF with the name changed.

use std::{fs, os::unix::fs::MetadataExt as _};

use serde_json::Value;

use crate::report::{Trace, abort, btf_without, tracer};

/// Where the hook of RSTs that are sent is not found, they are observed another way, or not.
#[test]
#[ignore = "needs root"]
fn a_missing_field_and_a_missing_hook_cost_one_feature_each() {
    let btf = btf_without(&["skc_nulls_node", "btf_trace_tcp_send_reset"]);
    // Other tests' events would only take time.
    let netns = fs::metadata("/proc/self/ns/net").unwrap().ino().to_string();
    let mut trace = Trace::start(&["--btf", btf.path().to_str().unwrap(), "--netns", &netns]);
    let degraded = trace.start["degraded"].as_array().unwrap();
    let about_it = degraded.iter().filter(|sentence| sentence.as_str().unwrap().contains("skc_nulls_node"));
    assert_eq!(about_it.count(), 1, "one sentence: {degraded:#?}");
    for (probe, mechanism) in trace.start["probes"].as_object().unwrap() {
        match probe.as_str() {
            "rst_sent_passive" | "rst_sent_active" => assert_ne!(mechanism, "tp_btf", "{probe}"),
            // By function hooks only, which a kernel may lack.
            "rst_firewall" | "accept" => (),
            _ => assert!(mechanism.is_string(), "{probe} does not need what is missing"),
        }
    }
    let (by, of) = abort();
    let (by, of) = (by.to_string(), of.to_string());
    let arrives = |event: &Value| event["event"] == "rst" && event["local"] == of && event["remote"] == by;
    let rst = trace.wait("the RST", arrives);
    assert_eq!(rst["direction"], "received");
    let objects = trace.stop();
    let states: Vec<_> = objects.iter().filter(|event| event["event"] == "state").collect();
    assert!(!states.is_empty());
    assert!(states.iter().all(|event| event["ehash"].is_null()), "membership is unknown, not false");
}

#[test]
#[ignore = "needs root"]
fn without_sockets_nothing_works_and_that_is_said() {
    let btf = btf_without(&["skc_family"]);
    let output = tracer().args(["trace", "-d", "1", "--btf"]).arg(btf.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("skc_family") && message.lines().count() == 1, "{message}");

    let output = tracer().args(["trace", "-d", "1", "--btf", "/dev/null"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
}
