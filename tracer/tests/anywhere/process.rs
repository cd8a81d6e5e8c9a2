//! `tracer trace -p PID`: it ends when its processes have, with all that their sockets still did.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Stdio},
};

use serde_json::Value;
use tracer::testbed::host::Host;

use crate::{
    child::Player,
    report::{objects, of_kind, tracer},
};

const EVENTS: &str = "state,rst,open,close";

/// A trace that has begun, and is to end by itself.
struct Ending(Child, BufReader<ChildStdout>);

impl Ending {
    fn start(args: &[&str]) -> Self {
        let mut command = tracer();
        command.args(["trace", "-j", "-e", EVENTS]).args(args);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        assert!(first.contains("\"start\""), "{first}");
        Self(child, output)
    }

    fn rest(mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        self.1.read_to_end(&mut rest).unwrap();
        assert!(self.0.wait().unwrap().success());
        objects(&rest)
    }
}

fn closed(objects: &[Value]) -> Vec<String> {
    let mut closed: Vec<_> =
        of_kind(objects, "close").iter().map(|event| event["local"].as_str().unwrap().to_owned()).collect();
    closed.sort();
    closed
}

#[test]
#[ignore = "needs root"]
fn the_trace_ends_with_its_process() {
    let host = Host::new("process").unwrap();
    let mut player = host.run(|| Ok(Player::start("wait; exchange 127.0.0.1:1001 127.0.0.1:1000"))).unwrap();
    let trace = Ending::start(&["-p", &player.pid().to_string()]);
    player.go();
    let objects = trace.rest();
    assert_eq!(objects.last().unwrap()["event"], "summary");
    assert_eq!(closed(&objects), ["127.0.0.1:1000", "127.0.0.1:1001"], "{objects:#?}");
    assert!(player.wait().success());
}

#[test]
#[ignore = "needs root"]
fn with_its_children_it_goes_on_until_they_have_ended_too() {
    let host = Host::new("family").unwrap();
    let part = "wait; self 127.0.0.1:1000; leave; wait; exchange 127.0.0.1:1002 127.0.0.1:1001";
    let mut player = host.run(move || Ok(Player::start(part))).unwrap();
    let trace = Ending::start(&["-f", "-p", &player.pid().to_string()]);
    player.go();
    assert!(player.wait().success());
    // The child that it left behind asks through the same pipe.
    player.wait_ready();
    player.go();
    let objects = trace.rest();
    assert_eq!(closed(&objects), ["127.0.0.1:1000", "127.0.0.1:1001", "127.0.0.1:1002"], "{objects:#?}");
    let owner = |end: &str| objects.iter().find(|event| event["local"] == end).unwrap()["owner"]["pid"].clone();
    assert_eq!(owner("127.0.0.1:1000"), player.pid());
    assert_ne!(owner("127.0.0.1:1001"), player.pid());
}

#[test]
#[ignore = "needs root"]
fn the_end_of_a_process_that_is_killed_closes_its_sockets_in_the_report() {
    let host = Host::new("killed").unwrap();
    let mut player = host.run(|| Ok(Player::start("wait; hold 127.0.0.1:1000; wait"))).unwrap();
    let trace = Ending::start(&["-p", &player.pid().to_string()]);
    player.go();
    player.wait_ready();
    drop(player);
    let objects = trace.rest();
    assert_eq!(closed(&objects), ["127.0.0.1:1000"], "{objects:#?}");
    assert_eq!(of_kind(&objects, "open").len(), 1);
}
