//! What `tracer doctor -j` says; how each kernel's events are observed, `live/doctor.rs` has.

use serde_json::Value;

use crate::report::tracer;

#[test]
#[ignore = "needs root"]
fn it_names_a_mechanism_for_each_event() {
    // It fails where something is not observed.
    let output = tracer().args(["doctor", "-j"]).output().unwrap();
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
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
            "lookup_ehash",
            "lookup_listener",
            "raw_send",
            "accept",
            "existing",
            "release",
            "descent",
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
