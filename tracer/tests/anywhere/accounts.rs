//! What the kernel counts, compared with what was reported.

use serde_json::{Value, json};
use tracer::demo::host::Host;

use crate::{
    child::Player,
    report::{Trace, btf_without},
};

/// Three connections are aborted, each with one RST and two ends that go from ESTABLISHED to CLOSE; two connects are
/// refused, each with one RST.
const PART: &str = "wait; abort; abort; abort; refused 127.0.0.1:40001 127.0.0.1:9; refused 127.0.0.1:40002 127.0.0.1:9; \
                    wait";

/// What is unaccounted for, in its namespace, when the part was played.
fn unaccounted(args: &[&str]) -> Vec<Value> {
    let host = Host::new("accounts").unwrap();
    // A process that holds the namespace: its counters are read through it.
    let mut player = host.run(|| Ok(Player::start(PART))).unwrap();
    let trace = Trace::of("rst", args);
    player.go();
    player.wait_ready();
    let seen = trace.stop();
    let summary = seen.last().unwrap();
    assert_eq!(summary["event"], "summary");
    let unaccounted = summary["unaccounted"].as_array().unwrap();
    unaccounted.iter().filter(|one| one["netns"] == host.netns()).cloned().collect()
}

#[test]
#[ignore = "needs root"]
fn what_was_reported_is_what_the_kernel_counted() {
    assert_eq!(unaccounted(&[]), Vec::<Value>::new());
}

/// On a kernel that does not show the RSTs that it sends: simulated by its BTF without that tracepoint.
#[test]
#[ignore = "needs root"]
fn what_was_not_reported_is_unaccounted_for() {
    let btf = btf_without(&["btf_trace_tcp_send_reset"]);
    let found = unaccounted(&["--btf", btf.path().to_str().unwrap(), "--probes", "tp"]);
    let netns = &found[0]["netns"];
    // The ends that a RST came to were reported.
    assert_eq!(
        found,
        [
            json!({ "netns": netns, "counter": "OutRsts", "counted": 5, "reported": 0 }),
            json!({ "netns": netns, "counter": "EstabResets", "counted": 6, "reported": 3 }),
        ]
    );
}
