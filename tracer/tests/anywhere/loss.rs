//! A reader that is stopped loses events. How many is known exactly, and the rest is as if nothing had been.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        socket::{setsockopt, sockopt},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use serde_json::Value;
use tracer::{
    report::Lost,
    testbed::{host::Host, tcp},
};

use crate::{
    alone,
    report::{objects, tracer},
};

const TIMEOUT: Duration = Duration::from_secs(10);
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7);
/// The client's port of the first connection; each has the next one.
const FIRST: u16 = 2000;
/// Connections before the reader is stopped, and after it goes on: there is room for all of them.
const UNHURRIED: u16 = 20;
/// After that, an event is shown if its reader has nothing else to do.
const LATENCY: Duration = Duration::from_millis(50);
/// How long it is stopped while connections are made, and how many at most.
const STOPPED: Duration = Duration::from_secs(2);
const MOST: u16 = 20_000;

/// What each connection does, client and server.
const CLIENT: [&str; 3] = ["CLOSE SYN_SENT", "SYN_SENT ESTABLISHED", "ESTABLISHED CLOSE"];
const SERVERS: [&str; 3] = ["LISTEN SYN_RECV", "SYN_RECV ESTABLISHED", "ESTABLISHED CLOSE"];

#[test]
#[ignore = "needs root"]
fn what_a_stopped_reader_loses_is_counted_and_the_rest_is_intact() {
    let _alone = alone();
    let host = Host::new("loss").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events");
    let reader = Reader::start(&file, host.netns());
    let pid = reader.pid();

    let before = host.run(|| connections(FIRST, UNHURRIED, TIMEOUT)).unwrap();
    wait_for(&file, before);
    kill(pid, Signal::SIGSTOP).unwrap();
    waitid(Id::Pid(pid), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT).unwrap();
    let during = host.run(move || connections(before, MOST, STOPPED)).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    // Once it has come to the latest, there is room again: it reads in order.
    let (mut during, mut attempts) = (during, 0);
    wait_until("it has caught up", || {
        during = host.run(move || connections(during, 1, TIMEOUT)).unwrap();
        attempts += 1;
        std::thread::sleep(LATENCY);
        has_come_to(&file, during)
    });
    let after = host.run(move || connections(during, UNHURRIED, TIMEOUT)).unwrap();
    wait_for(&file, after);
    kill(pid, Signal::SIGINT).unwrap();
    let (status, message) = reader.end();

    let events = objects(&fs::read(&file).unwrap());
    let (summary, events) = events.split_last().unwrap();
    let lost = check_accounts(summary, after - FIRST, 3 + attempts);
    assert_eq!(status.code(), Some(1), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with(&format!("tracer: {lost} events were lost: ")), "{message}");

    let connections = by_connection(events);
    for (port, lives) in &connections {
        let is_whole = lives.iter().map(Vec::len).sum::<usize>() == CLIENT.len() + SERVERS.len();
        assert!(is_whole || (before..during).contains(port), "{port}: {lives:?}");
        for (life, all) in lives.iter().zip([CLIENT, SERVERS]) {
            let mut all = all.iter();
            assert!(life.iter().all(|change| all.any(|known| known == change)), "{port}: {life:?}");
        }
    }
    let unhurried = connections.keys().filter(|port| !(before..during).contains(*port)).count();
    assert_eq!(unhurried, 2 * usize::from(UNHURRIED), "none is missing of those that had time");
}

#[test]
#[ignore = "needs root"]
fn only_a_loss_is_a_failure() {
    for command in ["trace", "rst"] {
        let output = tracer().args([command, "-j", "--fail-on-loss", "-d", "0.1"]).output().unwrap();
        let events = objects(&output.stdout);
        let lost: Lost = serde_json::from_value(events.last().unwrap()["lost"].clone()).unwrap();
        // On a busy machine something may be.
        assert_eq!(output.status.success(), lost.total() == 0, "{output:?}");
    }
}

/// The tracer that is stopped; a test that fails must not leave it so.
struct Reader(Child);

impl Reader {
    fn start(file: &Path, netns: u32) -> Self {
        let child = tracer()
            // Room for some dozen connections.
            .args(["--ring-size", "128", "trace", "-j", "-e", "state,rst,open", "--fail-on-loss", "--netns"])
            .arg(netns.to_string())
            .arg("-o")
            .arg(file)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tracer starts");
        let reader = Self(child);
        wait_until("it is attached", || text(file).contains("\"start\""));
        reader
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id() as i32)
    }

    /// Its exit status, and what it said.
    fn end(mut self) -> (ExitStatus, String) {
        let mut message = String::new();
        self.0.stderr.take().expect("stderr is piped").read_to_string(&mut message).unwrap();
        (self.0.wait().unwrap(), message)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// Waits until it is reported that the connection before `next` is closed, or a later one.
fn wait_for(file: &Path, next: u16) {
    wait_until("it has come so far", || has_come_to(file, next));
}

fn has_come_to(file: &Path, next: u16) -> bool {
    closed(&text(file)).max() >= Some(next - 1)
}

/// The clients' ports of the connections whose server's end was closed.
fn closed(text: &str) -> impl Iterator<Item = u16> {
    let closed = text.lines().filter(|line| line.contains("\"new\":\"CLOSE\""));
    closed.filter_map(|line| line.split_once("\"remote\":\"127.0.0.1:")?.1.split('"').next()?.parse().ok())
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {TIMEOUT:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Makes connections, one after the other, and aborts each; `most` of them, or as many as there is time for.
/// Returns the port after the last.
fn connections(first: u16, most: u16, time: Duration) -> anyhow::Result<u16> {
    let listener = tcp::listening(SERVER, TIMEOUT)?;
    let end = Instant::now() + time;
    let mut next = first;
    while next < first + most && Instant::now() < end {
        let client = tcp::bound(SocketAddr::new(SERVER.ip(), next), TIMEOUT)?;
        client.connect(&SERVER.into())?;
        let server = tcp::accept(&listener)?;
        setsockopt(&client, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
        drop(client);
        // Until the RST has come: then all has happened.
        anyhow::ensure!(tcp::hear_end(&server).is_err(), "it is reset");
        next += 1;
    }
    Ok(next)
}

/// Every event of so many connections, and of listeners that came and went, was put into the buffer or is counted as lost. How many were.
fn check_accounts(summary: &Value, connections: u16, listeners: u64) -> u64 {
    let count =
        |path: &str, kind: &str| summary.pointer(&format!("{path}/{kind}")).and_then(Value::as_u64).unwrap_or(0);
    let (connections, skipped) = (u64::from(connections), count("/lost", "skipped"));
    for (kind, expected) in
        [("state", 6 * connections + 2 * listeners), ("open", 2 * connections), ("rst", 2 * connections)]
    {
        let (submitted, lost) = (count("/submitted", kind), count("/lost/ring_buffer", kind));
        // What the kernel skips may be anybody's, in any namespace.
        let missing = expected.checked_sub(submitted + lost);
        assert!(missing.is_some_and(|missing| missing <= skipped), "{kind}, {expected}: {summary:#}");
        assert_eq!(count("/counts", kind), submitted, "{kind}: what was submitted is shown");
        assert!(lost > 0, "this was no test: {summary:#}");
    }
    assert_eq!(count("/lost", "decode"), 0, "{summary:#}");
    skipped + ["state", "open", "rst", "process"].map(|kind| count("/lost/ring_buffer", kind)).iter().sum::<u64>()
}

/// The changes of each connection's client and server, by the client's port. One connection comes after
/// the other.
fn by_connection(events: &[Value]) -> BTreeMap<u16, [Vec<String>; 2]> {
    let mut connections: BTreeMap<u16, [Vec<String>; 2]> = BTreeMap::new();
    let (mut latest, mut time) = (0, 0);
    for event in events.iter().filter(|event| event["event"] == "state") {
        let end = |name: &str| event[name].as_str().unwrap().parse::<SocketAddr>().unwrap();
        let (local, remote) = (end("local"), end("remote"));
        let is_server = local == SERVER;
        let port = if is_server { remote.port() } else { local.port() };
        // The listener's own.
        if port == 0 {
            continue;
        }
        let now = event["mono_ns"].as_u64().unwrap();
        assert!(port >= latest && now >= time, "in order: {event:#}");
        (latest, time) = (port, now);
        let change = format!("{} {}", event["old"].as_str().unwrap(), event["new"].as_str().unwrap());
        connections.entry(port).or_default()[usize::from(is_server)].push(change);
        // A child that another test makes has these sockets too until it executes its program: if it is the last one to
        // close one, it is the owner by then, and by that very call.
        let is_last_close = event["old"] == "ESTABLISHED" && event["new"] == "CLOSE" && event["context"] == "process";
        let owner = if is_last_close { event["task"]["pid"].clone() } else { std::process::id().into() };
        assert_eq!(event["owner"]["pid"], owner, "{event:#}");
    }
    connections
}
