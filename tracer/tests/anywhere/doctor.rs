//! What `tracer doctor -j` says; how each kernel's events are observed, `live/doctor.rs` has.

use serde_json::Value;

use crate::report::{btf_without, tracer};

fn doctor(args: &[&str]) -> Value {
    // It fails where something is not observed.
    let output = tracer().args(["doctor", "-j"]).args(args).output().unwrap();
    serde_json::from_slice(&output.stdout).expect("doctor prints JSON")
}

#[test]
#[ignore = "needs root"]
fn it_names_a_mechanism_for_each_event() {
    let findings = doctor(&[]);
    let probes = findings["probes"].as_array().unwrap();
    let events: Vec<_> = probes.iter().map(|probe| probe["event"].as_str().unwrap()).collect();
    assert_eq!(
        events,
        [
            "state",
            "rst_sent_passive",
            "rst_sent_active",
            "rst_firewall",
            "rst_received",
            "rst_stray",
            "accept_queue",
            "lookup_ehash",
            "lookup_listener",
            "raw_send",
            "accept",
            "existing",
            "release",
            "descent",
            "process_end",
            "baseline",
        ]
    );
    for probe in probes {
        // By function hooks only, which a kernel may lack.
        let may_fail = probe["event"] == "rst_firewall" || probe["event"] == "accept";
        assert!(probe["chosen"].is_string() || may_fail, "{probe:#}");
        for refusal in probe["refused"].as_array().unwrap() {
            assert!(!refusal["reason"].as_str().unwrap().is_empty());
        }
    }
}

#[test]
#[ignore = "needs root"]
fn it_says_why_a_missing_hook_is_not_the_way() {
    let btf = btf_without(&["btf_trace_tcp_send_reset"]);
    let findings = doctor(&["--btf", btf.path().to_str().unwrap()]);
    let probes = findings["probes"].as_array().unwrap().iter();
    let about_it: Vec<_> = probes.filter(|probe| probe["event"].as_str().unwrap().starts_with("rst_sent")).collect();
    assert_eq!(about_it.len(), 2);
    for probe in about_it {
        assert!(probe["refused"].to_string().contains("tp_btf"), "{probe:#}");
        assert_ne!(probe["chosen"], "tp_btf", "{probe:#}");
    }
}
