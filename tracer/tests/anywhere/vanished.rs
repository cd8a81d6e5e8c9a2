//! What a trace is about may go away meanwhile.

use std::{
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tracer::testbed::host::Host;

use crate::{
    child::Player,
    ends,
    named::Named,
    observe::wait_closed,
    report::{Trace, objects, of_kind, run},
};

#[test]
#[ignore = "needs root"]
fn a_network_namespace_that_vanishes_is_no_failure() {
    let [first, second] = ["first", "second"].map(|name| Host::new(name).unwrap());
    let inodes = [&first, &second].map(Host::netns);
    let names = inodes.map(|inode| inode.to_string());
    let mut trace = Trace::start(&["--netns", &names[0], "--netns", &names[1], "-e", "state,close"]);
    let play = || {
        drop(ends::itself("127.0.0.1:1000".parse()?));
        Ok(())
    };
    first.run(play).unwrap();
    drop(first);
    // It goes on with what is left.
    second.run(play).unwrap();
    wait_closed(&mut trace, 2);
    let objects = trace.stop();
    let closed: Vec<_> = of_kind(&objects, "close").iter().map(|event| event["netns"].as_u64().unwrap()).collect();
    assert_eq!(closed, inodes.map(u64::from));
    assert_eq!(objects.last().unwrap()["event"], "summary");
}

#[test]
#[ignore = "needs root"]
fn a_process_that_has_ended_by_then_ends_the_trace_at_once() {
    // It has, but its id is still there until it is waited for.
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    std::io::Read::read_to_end(&mut output, &mut Vec::new()).unwrap();
    let pid = child.id().to_string();
    let stdout = run(&["trace", "-j", "-p", &pid, "-f"]).stdout;
    child.wait().unwrap();
    let kinds: Vec<_> = objects(&stdout).iter().map(|object| object["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["start", "summary"]);
}

/// How long the tracer believes what it knows of a namespace, and a bit more.
const BELIEVED: Duration = Duration::from_millis(1100);

#[test]
#[ignore = "needs root"]
fn a_namespace_keeps_its_name_and_another_one_does_not_get_it() {
    let name = format!("vanishing-{}", std::process::id());
    let host = Host::new("vanishing").unwrap();
    let netns = host.netns();
    let its = name.clone();
    let start =
        move || Ok((Named::new(&its), Player::start("wait; self 127.0.0.1:1000; wait; self 127.0.0.1:1001; wait")));
    let (named, mut player) = host.run(start).unwrap();
    let mut trace = Trace::start(&["--netns", &netns.to_string(), "-e", "open"]);
    let mut name_of = |local: &str| trace.wait(local, |event| event["local"] == local)["netns_name"].clone();
    player.go();
    assert_eq!(name_of("127.0.0.1:1000"), name.as_str());
    player.wait_ready();
    drop(named);
    thread::sleep(BELIEVED);
    player.go();
    assert_eq!(name_of("127.0.0.1:1001"), name.as_str(), "its process is there all along");
    player.end();
    drop(host);

    // The kernel gives the lowest number that is free.
    let mut others = Vec::new();
    /// Somebody else has got it, then. (Each has a thread, which a process can have only so many of.)
    const MOST: usize = 500;
    let deadline = Instant::now() + Duration::from_secs(20);
    let another = loop {
        let other = Host::new("another").unwrap();
        if other.netns() == netns {
            break other;
        }
        others.push(other);
        if Instant::now() > deadline || others.len() == MOST {
            return println!("not tested here: no other namespace got the inode {netns}");
        }
    };
    thread::sleep(BELIEVED);
    let play = || {
        drop(ends::itself("127.0.0.1:1002".parse()?));
        Ok(())
    };
    another.run(play).unwrap();
    assert_eq!(name_of("127.0.0.1:1002"), Value::Null, "it is another one");
    trace.stop();
}

#[test]
#[ignore = "needs root"]
fn a_process_that_has_ended_has_the_command_line_that_it_had() {
    let host = Host::new("ended").unwrap();
    let mut player = host.run(|| Ok(Player::start("hold 127.0.0.1:1000; wait"))).unwrap();
    let mut trace = Trace::start(&["--netns", &host.netns().to_string(), "-e", "close"]);
    // Nothing was seen of it until it is gone.
    kill(Pid::from_raw(player.pid() as i32), Signal::SIGKILL).unwrap();
    player.wait();
    let close = trace.wait("the end of its socket", |event| event["event"] == "close");
    assert_eq!(close["owner"]["pid"], player.pid(), "{close:#}");
    let line = close["owner"]["cmdline"].as_str().unwrap_or_default();
    assert!(line.contains("child::entry"), "{close:#}");
    trace.stop();
}
