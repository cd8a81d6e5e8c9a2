//! A recording that finds no room: what was shown stays, and one sentence says what happened.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, unshare},
    sys::resource::{Resource, setrlimit},
};
use serde_json::Value;
use tracer::testbed::host::Host;

use crate::{
    ends,
    report::{objects, tracer},
};

const NO_SPACE: &str = "No space left";

/// Connections, each of which is recorded with some kilobytes.
const CONNECTIONS: u16 = 60;

/// Runs the trace, in a namespace of its own, until the recording fails.
fn until_full(mut command: Command, path: &str, why: &str) -> Vec<Value> {
    let host = Host::new("full").unwrap();
    command.args(["trace", "-j", "-e", "state,open,close", "--netns"]).arg(host.netns().to_string());
    let mut child = command.args(["-w", path]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut shown = String::new();
    output.read_line(&mut shown).unwrap();
    let connect = || {
        for number in 1..=CONNECTIONS {
            let end = |port: u16| ([127, 0, 0, 1], port).into();
            ends::exchange(end(1000 + number), end(2000 + number));
        }
        Ok(())
    };
    host.run(connect).unwrap();
    output.read_to_string(&mut shown).unwrap();
    let rest = child.wait_with_output().unwrap();
    let message = String::from_utf8(rest.stderr).unwrap();
    assert_eq!(rest.status.code(), Some(1), "{message}");
    assert!(message.contains(&format!("cannot write the recording: {why}")), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");

    // Whole lines, and none is missing between.
    assert!(shown.ends_with('\n'));
    let objects = objects(shown.as_bytes());
    assert!(objects.iter().all(|object| object["event"] != "summary"), "the run is not complete");
    let ports: Vec<_> =
        objects.iter().filter(|object| object["new"] == "LISTEN").map(|event| &event["local"]).collect();
    let expected: Vec<_> = (2001..).take(ports.len()).map(|port: u16| format!("127.0.0.1:{port}")).collect();
    assert_eq!(ports, expected.iter().collect::<Vec<_>>());
    objects
}

#[test]
#[ignore = "needs root"]
fn a_device_that_is_always_full() {
    let shown = until_full(tracer(), "/dev/full", NO_SPACE);
    let listeners = shown.iter().filter(|object| object["new"] == "LISTEN").count();
    assert!(listeners < usize::from(CONNECTIONS));
}

#[test]
#[ignore = "needs root"]
fn a_file_system_that_fills_up() {
    let directory = tempfile::tempdir().unwrap();
    let place = std::ffi::CString::new(directory.path().to_str().unwrap()).unwrap();
    let mut command = tracer();
    // SAFETY: system calls with memory that lives; nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            // Nobody else sees the mount, and it goes with the process.
            unshare(CloneFlags::CLONE_NEWNS)?;
            let (none, tmpfs) = (std::ptr::null(), c"tmpfs".as_ptr());
            let private = libc::MS_REC | libc::MS_PRIVATE;
            Errno::result(libc::mount(none, c"/".as_ptr(), none, private, std::ptr::null()))?;
            Errno::result(libc::mount(tmpfs, place.as_ptr(), tmpfs, 0, c"size=64k".as_ptr().cast()))?;
            Ok(())
        });
    }
    let file = directory.path().join("recording");
    let shown = until_full(command, file.to_str().unwrap(), NO_SPACE);
    assert!(shown.len() > 10, "some of it found room: {shown:#?}");
    assert!(!Path::new(&file).exists(), "it was in the mount");
}

#[test]
#[ignore = "needs root"]
fn a_file_that_may_not_grow_any_more() {
    const MOST: u64 = 20 << 10;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recording");
    let mut command = tracer();
    // SAFETY: one system call.
    unsafe {
        command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_FSIZE, MOST, MOST)?));
    }
    // SIGXFSZ would have ended it, and dumped core.
    let shown = until_full(command, path.to_str().unwrap(), "File too large");
    // What fits in is there, whole.
    assert_eq!(std::fs::metadata(&path).unwrap().len(), MOST);
    let replayed = tracer().args(["replay", "-j"]).arg(&path).output().unwrap();
    let message = String::from_utf8(replayed.stderr).unwrap();
    assert!(message.contains("cut off") && replayed.status.code() == Some(1), "{message}");
    let events = |objects: &[Value]| objects.iter().filter(|it| it["mono_ns"].is_u64()).cloned().collect::<Vec<_>>();
    let (shown, replayed) = (events(&shown), events(&objects(&replayed.stdout)));
    assert!(!replayed.is_empty());
    assert_eq!(replayed, shown[..replayed.len()]);
}
