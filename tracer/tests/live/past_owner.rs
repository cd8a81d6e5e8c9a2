//! Filters by process find what comes for sockets that the process has no more.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::{
    child::Player,
    report::{Trace, is_observed, objects, run},
};

/// The four ends of one play. Tests run beside each other in one network namespace, so each has addresses of its own.
struct Ends {
    client: String,
    server: String,
    late: String,
    deserted: String,
}

impl Ends {
    /// In the network 127.0.`network`.0/24.
    fn of(network: u8) -> Self {
        let end = |host: u8, port: u16| SocketAddr::from(([127, 0, network, host], port)).to_string();
        Self { client: end(1, 7601), server: end(2, 7602), late: end(1, 7603), deserted: end(2, 7604) }
    }

    /// What the process does between these ends.
    fn steps(&self) -> String {
        format!("raced {} {}; deserted {} {}", self.client, self.server, self.late, self.deserted)
    }
}

fn is_sent(event: &Value, local: &str) -> bool {
    event["event"] == "rst" && event["direction"] == "sent" && event["local"] == local
}

fn is_of(event: &Value, pid: u32, known: &str) {
    assert_eq!((&event["owner"]["pid"], &event["owner"]["known"]), (&pid.into(), &known.into()), "{event:#}");
}

/// The RST of a minisocket, and that of a port whose listener is gone; and where the first one came to.
fn finds_all(network: u8, filter: impl FnOnce(u32) -> Vec<String>) {
    let ends = Ends::of(network);
    // A thread of the process has that name, and the process has another one.
    let mut player = Player::start(&format!("name keeper; wait; {}; wait", ends.steps()));
    let pid = player.pid();
    let args = filter(pid);
    let mut trace = Trace::of("rst", &args.iter().map(String::as_str).collect::<Vec<_>>());
    if !is_observed(&trace.start, "rst_sent_passive") {
        return;
    }
    player.go();
    player.wait_ready();
    let raced = trace.wait("the RST of a minisocket", |event| is_sent(event, &ends.server));
    is_of(&raced, pid, "past");
    assert_eq!(raced["opened"], "passive", "{raced:#}");
    assert!(raced["verdict"]["summary"].as_str().unwrap().contains("keeper["), "{raced:#}");
    let received =
        trace.wait("its other end", |event| event["direction"] == "received" && event["local"] == ends.client.as_str());
    is_of(&received, pid, "call");
    is_of(&trace.wait("the RST of a port", |event| is_sent(event, &ends.deserted)), pid, "past");
    is_of(
        &trace.wait("its other end", |event| event["direction"] == "received" && event["local"] == ends.late.as_str()),
        pid,
        "call",
    );
    player.end();
    drop(trace);
}

#[test]
#[ignore = "needs root"]
fn by_id() {
    finds_all(5, |pid| vec!["-p".into(), pid.to_string()]);
}

#[test]
#[ignore = "needs root"]
fn by_the_name_of_a_thread() {
    finds_all(6, |_| vec!["--comm".into(), "keeper".into()]);
}

#[test]
#[ignore = "needs root"]
fn by_the_name_of_the_process() {
    finds_all(7, |pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        assert_ne!(name, "keeper\n");
        vec!["--comm".into(), name.trim_end().into()]
    });
}

#[test]
#[ignore = "needs root"]
fn by_what_a_command_has_left() {
    let exe = std::env::current_exe().unwrap();
    let ends = Ends::of(8);
    let set = format!("TRACER_TEST_PART=name keeper; {}", ends.steps());
    let command = ["/usr/bin/env", &set, exe.to_str().unwrap(), "child::entry", "--exact", "--ignored"];
    if !std::path::Path::new(command[0]).exists() {
        println!("not tested here: there is no {}", command[0]);
        return;
    }
    // Apart from what the command prints.
    let report = tempfile::NamedTempFile::new().unwrap();
    let path = report.path().to_str().unwrap();
    run(&[&["trace", "-j", "-e", "rst", "-o", path, "--"], command.as_slice()].concat());
    let seen = objects(&std::fs::read(path).unwrap());
    if is_observed(&seen[0], "rst_sent_passive") {
        for local in [&ends.server, &ends.deserted] {
            let sent: Vec<_> = seen.iter().filter(|event| is_sent(event, local)).collect();
            assert!(sent.len() == 1 && sent[0]["owner"]["known"] == "past", "{sent:#?}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn after_the_process_has_ended() {
    let end: SocketAddr = "127.0.9.2:7605".parse().unwrap();
    let mut player = Player::start("name keeper; wait; listen 127.0.9.2:7605; wait; serve");
    let mut trace = Trace::of("rst", &["--comm", "keeper"]);
    if !is_observed(&trace.start, "rst_sent_passive") {
        return;
    }
    player.go();
    player.wait_ready();
    let mut client = TcpStream::connect(end).unwrap();
    client.write_all(b"x").unwrap();
    player.end();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    client.write_all(b"y").unwrap();
    let late = trace.wait("the answer to what came late", |event| is_sent(event, &end.to_string()));
    is_of(&late, player.pid(), "past");
}
