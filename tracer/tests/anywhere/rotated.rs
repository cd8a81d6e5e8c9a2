//! A recording in several files: nothing is lost between them, and each can be read by itself.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

use nix::unistd::{Uid, User};
use tracer::testbed::host::Host;

use crate::{
    ends,
    report::{Trace, of_kind, run, tracer},
};

/// Connections, each of which is recorded with some kilobytes.
const CONNECTIONS: u16 = 60;
const EVENTS: &str = "state,open,close";

fn parts(directory: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    parts.sort();
    parts
}

/// Traces connections, recorded in small parts, and returns what was shown and the files.
fn traced(directory: &Path, more: &[&str]) -> (Vec<serde_json::Value>, Vec<PathBuf>) {
    let host = Host::new("rotated").unwrap();
    let netns = host.netns().to_string();
    let path = directory.join("trace");
    let mut args = vec!["-e", EVENTS, "--netns", &netns, "-w", path.to_str().unwrap(), "--rotate-size", "16"];
    args.extend(more);
    let mut trace = Trace::start(&args);
    for number in 1..=CONNECTIONS {
        let end = |port: u16| ([127, 0, 0, 1], port).into();
        let connect = move || {
            ends::exchange(end(1000 + number), end(2000 + number));
            Ok(())
        };
        host.run(connect).unwrap();
        // A file turns between what is read at once: so one by one.
        let last = format!("127.0.0.1:{}", 2000 + number);
        trace.wait("the server's end", |event| event["event"] == "close" && event["local"] == last);
    }
    (trace.stop(), parts(directory))
}

fn replayed(files: &[PathBuf]) -> Vec<serde_json::Value> {
    let mut args = vec!["replay", "-j"];
    args.extend(files.iter().map(|file| file.to_str().unwrap()));
    crate::report::objects(&run(&args).stdout)
}

#[test]
#[ignore = "needs root"]
fn all_parts_together_are_the_live_output_and_each_can_be_read_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (shown, files) = traced(directory.path(), &[]);
    assert!(files.len() > 5, "{files:?}");
    assert_eq!(replayed(&files), shown);
    let mut alone = Vec::new();
    for file in &files {
        let events = replayed(std::slice::from_ref(file));
        let states = of_kind(&events, "state");
        // Who the process is was recorded once, in the first file.
        assert!(states.iter().all(|state| state["owner"]["cmdline"].is_string()), "{}: {states:#?}", file.display());
        alone.extend(events.iter().filter(|event| event["mono_ns"].is_u64()).cloned());
    }
    let events: Vec<_> = shown.iter().filter(|event| event["mono_ns"].is_u64()).cloned().collect();
    assert_eq!(alone, events, "each event is in one file");
}

#[test]
#[ignore = "needs root"]
fn the_last_files_are_kept_and_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let (shown, files) = traced(directory.path(), &["--keep", "3"]);
    assert_eq!(files.len(), 3, "{files:?}");
    let events =
        |objects: &[serde_json::Value]| objects.iter().filter(|it| it["mono_ns"].is_u64()).cloned().collect::<Vec<_>>();
    let (kept, shown) = (events(&replayed(&files)), events(&shown));
    assert!(!kept.is_empty());
    assert_eq!(kept, shown[shown.len() - kept.len()..]);
}

#[test]
#[ignore = "needs root"]
fn files_of_different_recordings_are_not_mixed() {
    let directory = tempfile::tempdir().unwrap();
    let (_, files) = traced(directory.path(), &[]);
    let other = directory.path().join("other");
    run(&["trace", "-d", "0.01", "-w", other.to_str().unwrap()]);
    for (files, says) in [([&files[0], &other], "of another recording"), ([&other, &files[0]], "the last file")] {
        let output = tracer().arg("replay").args(files).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && message.contains(says), "{message}");
    }
}

#[test]
#[ignore = "needs root"]
fn who_may_not_make_a_later_file_learns_it_at_once() {
    let Some(user) = User::from_uid(Uid::from_raw(65534)).unwrap() else {
        return eprintln!("skipped: this host has no user 65534");
    };
    // Only its owner may enter it.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace");
    let mut command = tracer();
    command.args(["trace", "-d", "60", "-Z", &user.name, "--rotate-size", "16", "-w"]).arg(&path);
    let output = command.output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("cannot record to") && message.contains("Permission denied"), "{message}");
    assert!(parts(directory.path()).is_empty());
}

#[test]
#[ignore = "needs root"]
fn in_another_users_directory_root_makes_all_of_them() {
    let directory = tempfile::tempdir().unwrap();
    chown(directory.path(), Some(65534), Some(65534)).unwrap();
    let (_, files) = traced(directory.path(), &[]);
    assert!(files.len() > 5, "{files:?}");
}
