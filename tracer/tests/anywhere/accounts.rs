//! What the kernel counts, compared with what was reported.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tracer::testbed::host::Host;

use crate::{
    child::Player,
    report::{Trace, abort, assert_adds_up, btf_without, objects, tracer},
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
    // The sockets that received a RST were reported.
    assert_eq!(
        found,
        [
            json!({ "netns": netns, "counter": "OutRsts", "counted": 5, "reported": 0 }),
            json!({ "netns": netns, "counter": "EstabResets", "counted": 6, "reported": 3 }),
        ]
    );
}

/// What became of the records, in the summary of a trace of this many aborts in a namespace of its own.
fn accounted(command: &str, aborts: usize, args: &[&str]) -> Value {
    let host = Host::new("accounted").unwrap();
    let netns = host.netns().to_string();
    let mut tracer = tracer();
    tracer.args([command, "-j", "--netns", &netns]).args(args).stdout(Stdio::piped());
    let mut child = tracer.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    let play = move || {
        for _ in 0..aborts {
            abort();
        }
        Ok(())
    };
    host.run(play).unwrap();
    if !args.contains(&"-c") {
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    }
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    let summary = objects(&rest).pop().unwrap();
    assert_adds_up(&summary);
    summary
}

#[test]
#[ignore = "needs root"]
fn each_record_is_shown_or_accounted_for() {
    let whole = accounted("trace", 20, &["-e", "state,rst,open,close"]);
    // Both ends are of one process.
    assert_eq!(whole["accounted"]["processes"], 1, "{whole:#}");
    assert_eq!((&whole["accounted"]["evidence"], &whole["accounted"]["cut_off"]), (&json!(0), &json!(0)));

    let short = accounted("trace", 200, &["-e", "state,rst,open,close", "-c", "7"]);
    let shown = short["counts"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>();
    assert_eq!(shown, 7);
    assert!(short["accounted"]["cut_off"].as_u64() > Some(0), "{short:#}");

    let rsts = accounted("rst", 20, &[]);
    assert_eq!(rsts["counts"], json!({ "rst": 40 }), "{rsts:#}");
}
