//! A trace that starts, and one that stops, beside connections that are reset all the time: each RST that is reported
//! has been seen whole.

use std::{
    collections::HashSet,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::NamedTempFile;
use tracer::testbed::host::Host;

use crate::report::{Trace, objects, run};

/// How often a trace is started.
const STARTS: usize = 3;
/// RSTs and more that each is to report.
const EVENTS: usize = 40;

/// A host whose server closes each connection without having read what the client sent.
struct Resets {
    host: Host,
    goes_on: Arc<AtomicBool>,
}

impl Resets {
    /// One each so often.
    fn every(name: &'static str, pause: Duration) -> Self {
        let host = Host::new(name).unwrap();
        let goes_on = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&goes_on);
        let go = move || {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?;
            std::thread::spawn(move || {
                while asked.load(Ordering::Relaxed) {
                    let mut client = TcpStream::connect(address).expect("it connects");
                    let (server, _) = listener.accept().expect("it accepts");
                    client.write_all(b"x").expect("it is connected");
                    server.peek(&mut [0]).expect("it is connected");
                    drop(server);
                    client.read(&mut [0]).expect_err("it is reset");
                    std::thread::sleep(pause);
                }
            });
            Ok(())
        };
        host.run(go).unwrap();
        Self { host, goes_on }
    }

    fn netns(&self) -> u32 {
        self.host.netns()
    }
}

impl Drop for Resets {
    fn drop(&mut self) {
        self.goes_on.store(false, Ordering::Relaxed);
    }
}

/// What is said of the events of a namespace: causes, and how each connection ended.
fn said(events: &[Value], netns: u32) -> HashSet<(String, String)> {
    // At the very beginning its sending may have been too early for a probe, and that is said.
    let is_guess =
        |event: &Value| event["verdict"]["cause"] == "reset_by_peer" && event["verdict"]["confidence"] == "possible";
    let of_it = events.iter().filter(|event| event["netns"] == netns && !is_guess(event));
    of_it.map(|event| (event["event"].to_string(), event["verdict"]["cause"].to_string())).collect()
}

/// What is right.
fn expected() -> HashSet<(String, String)> {
    HashSet::from([("\"rst\"".to_owned(), "\"close_unread\"".to_owned())])
}

/// The first event that is told wrongly, with those around it and the summary.
fn around_wrong(events: &[Value], netns: u32) -> String {
    let right = expected();
    let Some(at) = events.iter().position(|event| !said(std::slice::from_ref(event), netns).is_subset(&right)) else {
        return String::new();
    };
    let around = &events[at.saturating_sub(6)..events.len().min(at + 7)];
    around.iter().chain(events.last()).map(|event| format!("{event}\n")).collect()
}

/// Starts traces and stops them, each also as a recording.
fn start_and_stop(resets: &Resets) {
    for _ in 0..STARTS {
        let recording = NamedTempFile::new().unwrap();
        let path = recording.path().to_str().unwrap();
        let mut trace = Trace::of("rst", &["--netns", &resets.netns().to_string(), "-w", path]);
        let deadline = Instant::now() + Duration::from_secs(60);
        assert!(trace.read_until(deadline, |seen| seen.len() > EVENTS), "RSTs are reported");
        let live = trace.stop();
        assert_eq!(said(&live, resets.netns()), expected(), "{}", around_wrong(&live, resets.netns()));
        let replayed = objects(&run(&["replay", "-j", path]).stdout);
        assert_eq!(said(&replayed, resets.netns()), expected(), "of the recording");
        let count = |events: &[Value]| events.iter().filter(|event| event["event"] == "rst").count();
        assert_eq!(count(&live), count(&replayed), "the recording has what was shown, and no more");
    }
}

#[test]
#[ignore = "needs root"]
fn nothing_is_concluded_from_what_was_not_yet_seen() {
    start_and_stop(&Resets::every("resets", Duration::from_millis(20)));
}

/// The twin: so many that some are under way whenever a probe is attached or detached.
#[test]
#[ignore = "needs root"]
fn nothing_is_concluded_in_a_flood() {
    start_and_stop(&Resets::every("flood", Duration::from_millis(3)));
}
