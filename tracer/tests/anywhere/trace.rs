//! `tracer trace`: how it ends, what it records, what it takes.

use std::{
    io::{BufRead, BufReader, Read},
    net::{TcpListener, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

use memchr::memmem;

use crate::report::{Trace, connection, run, tracer};

#[test]
#[ignore = "needs root"]
fn it_ends_by_itself_after_a_time_or_a_count() {
    let started = Instant::now();
    run(&["trace", "-d", "0.3"]);
    assert!(started.elapsed() >= Duration::from_millis(300));

    let mut child = tracer().args(["trace", "-j", "-c", "3"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    drop(connection());
    drop(connection());
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    let objects = crate::report::objects(rest.as_bytes());
    assert_eq!(objects.len(), 4, "three events and the summary");
    assert_eq!(objects[3]["event"], "summary");
    let counts = objects[3]["counts"].as_object().unwrap();
    assert_eq!(counts.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 3);
}

#[test]
#[ignore = "needs root"]
fn a_recording_replays_to_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("recording");
    let mut child = tracer()
        .args(["trace", "-j", "-e", "state,rst,lookup,raw", "-w", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut live = String::new();
    reader.read_line(&mut live).unwrap();
    drop(connection());
    run(&["demo", "raw-handshake"]);
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    reader.read_to_string(&mut live).unwrap();
    assert!(child.wait().unwrap().success());
    let replayed = run(&["replay", "-j", file.to_str().unwrap()]).stdout;
    assert!(live.lines().count() > 10, "{live}");
    assert_eq!(String::from_utf8(replayed).unwrap(), live);
}

#[test]
#[ignore = "needs root"]
fn it_stays_small() {
    // Not a busy neighbour's connections, of which there may be a hundred thousand.
    let own = std::process::id().to_string();
    let mut trace = Trace::start(&["-p", &own]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // A RST makes it read the kernel's symbols.
    assert!(TcpStream::connect(closed).is_err());
    trace.wait("a RST", |object| object["event"] == "rst");
    for _ in 0..1000 {
        drop(connection());
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", trace.pid())).unwrap();
    // What it allocated: the size of its code depends on how it was built.
    let resident = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    trace.stop();
    // Half of it are the names of the kernel's functions, which are read beside all else.
    assert!(kib < 16 << 10, "{kib} KiB allocated");
}

#[test]
#[ignore = "needs root"]
fn a_hostile_process_name_cannot_touch_the_terminal() {
    let name = "\x1b[31m\n\r\x07x";
    let mut child = tracer().args(["trace", "-d", "10"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n').map(Result::unwrap);
    let mut shown = Vec::new();
    let mut read_until = |wanted: &[u8]| {
        let line =
            lines.by_ref().inspect(|line| shown.push(line.clone())).find(|line| memmem::find(line, wanted).is_some());
        assert!(line.is_some(), "it ended without {}", String::from_utf8_lossy(wanted));
    };
    read_until(b"TIME");
    let thread = std::thread::spawn(move || {
        nix::sys::prctl::set_name(&std::ffi::CString::new(name).unwrap()).unwrap();
        TcpListener::bind("127.0.0.1:0").unwrap()
    });
    thread.join().unwrap();
    // Shown, and escaped.
    read_until(b"\\u{1b}[3");
    child.kill().unwrap();
    child.wait().unwrap();
    for line in shown {
        assert!(!line.iter().any(u8::is_ascii_control), "{}", String::from_utf8_lossy(&line));
    }
}

#[test]
#[ignore = "needs root"]
fn the_programs_log_what_they_do_if_asked() {
    let output = run(&["-v", "demo", "-j", "self-connect"]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.lines().any(|line| line.contains("state 7 -> 2")), "{log}");
    assert!(log.lines().count() < 100, "only what the programs do: {log}");
    assert!(run(&["demo", "-j", "self-connect"]).stderr.is_empty());
}
