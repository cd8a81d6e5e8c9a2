//! Losses as one reads them: in text, in a recording, and by the exit status.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tracer::testbed::host::Host;

use crate::report::{objects, of_kind, tracer};

/// Pairs of sockets, most of which find no room.
const PAIRS: usize = 30;

/// Traces connections that find no room, to the end.
fn trace(args: &[&str]) -> Output {
    let host = Host::new("shortage").unwrap();
    let mut command = tracer();
    command.env("TZ", "UTC").args(["trace", "--sockets", "16", "-e", "state,open,close", "--netns"]);
    command.arg(host.netns().to_string()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("\"start\"") && !shown.contains("WHAT HAPPENED") {
        assert_ne!(stdout.read_line(&mut shown).unwrap(), 0, "it starts");
    }
    host.run(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let pair = |_| anyhow::Ok((TcpStream::connect(listener.local_addr()?)?, listener.accept()?));
        drop((0..PAIRS).map(pair).collect::<Result<Vec<_>, _>>()?);
        Ok(())
    })
    .unwrap();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    stdout.read_to_string(&mut shown).unwrap();
    let rest = child.wait_with_output().unwrap();
    Output { stdout: shown.into_bytes(), ..rest }
}

#[test]
#[ignore = "needs root"]
fn a_replay_tells_losses_where_the_trace_did() {
    let directory = tempfile::tempdir().unwrap();
    for format in [&["-j"][..], &[]] {
        let file = directory.path().join("recording");
        let live = trace(&[&["--force", "-w", file.to_str().unwrap()], format].concat());
        assert!(live.status.success(), "{live:?}");
        let replayed = tracer().env("TZ", "UTC").arg("replay").args(format).arg(&file).output().unwrap();
        let [live, replayed] = [live, replayed].map(|output| String::from_utf8(output.stdout).unwrap());
        assert_eq!(replayed, live);
        assert!(live.contains("\"loss\"") || live.contains("table full: "), "{live}");
    }
}

#[test]
#[ignore = "needs root"]
fn text_tells_when_there_is_no_room_and_how_much_there_is() {
    let text = String::from_utf8(trace(&[]).stdout).unwrap();
    let told = format!("table full: {} sockets are not tracked (increase --sockets)", 2 * PAIRS + 1 - 16);
    assert!(text.contains("note: socket table: 16 sockets at a time"), "{text}");
    assert!(text.lines().any(|line| line == told), "at the end: {text}");
    // `HH:MM:SS.mmm `, and in the stream, before the summary.
    let noted = text.lines().filter(|line| line.get(13..).is_some_and(|line| line.starts_with("table full: "))).count();
    assert!(noted >= 1, "{text}");
    let marked = text.lines().filter(|line| line.contains("]? ")).count();
    assert!(marked >= PAIRS, "whose they are is marked: {text}");
}

#[test]
#[ignore = "needs root"]
fn an_event_in_part_is_a_failure_for_who_asks() {
    let output = trace(&["-j", "--fail-on-loss"]);
    let objects = objects(&output.stdout);
    let in_part = objects.iter().filter(|event| event["unremembered"] == true).count();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with(&format!("tracer: {in_part} events are incomplete, because ")), "{message}");
    assert!(!of_kind(&objects, "loss").is_empty());
}
