//! `tracer demo`: how it looks, that it does not fail now and then, and that nothing gets into it.

use std::{os::unix::fs::chown, process::Stdio};

use crate::report::{objects, of_kind, run, tracer};

#[test]
#[ignore = "needs root"]
fn text_fits_a_hundred_columns_and_shows_the_socket_as_netstat_does() {
    for (family, end) in [("-4", "10.115.20.30:1234"), ("-6", "[2001:db8::30]:1234")] {
        let output = run(&["demo", family, "self-connect", "raw-handshake-filtered"]);
        let text = String::from_utf8(output.stdout).unwrap();
        for line in text.lines() {
            // An event is one line, whatever happened: "SYN_RECV -> ESTABLISHED, simultaneous" is the longest.
            let is_event = line.starts_with(|first: char| first.is_ascii_digit());
            assert!(line.chars().count() <= if is_event { 75 + 37 } else { 100 }, "{line}");
            assert!(!line.contains('\x1b'), "colours only on a terminal: {line:?}");
        }
        let line = text.lines().find(|line| line.trim_start().starts_with("tcp")).expect("a line of netstat's");
        let columns: Vec<_> = line.split_ascii_whitespace().collect();
        assert_eq!(columns[3..6], [end, end, "ESTABLISHED"], "{text}");
        assert!(columns[6].ends_with("/tracer"), "{line}");
    }
}

#[test]
#[ignore = "needs root"]
fn it_never_fails() {
    for _ in 0..20 {
        let objects = objects(&run(&["demo", "-j"]).stdout);
        for report in of_kind(&objects, "scenario") {
            assert_eq!(report["ok"], true, "{report:#}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn other_traffic_and_a_second_demo_do_not_show() {
    let start = || tracer().args(["demo", "-j"]).stdout(Stdio::piped()).spawn().unwrap();
    let both = [start(), start()];
    for demo in both {
        let pid = demo.id();
        let output = demo.wait_with_output().unwrap();
        assert!(output.status.success());
        let objects = objects(&output.stdout);
        for report in of_kind(&objects, "scenario") {
            assert_eq!(report["ok"], true, "{report:#}");
        }
        let own_doing = objects.iter().filter(|object| object["context"] == "process");
        for event in own_doing {
            assert_eq!(event["task"]["pid"], pid, "the other one's event: {event:#}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn the_capture_may_be_in_another_users_directory() {
    let directory = tempfile::tempdir().unwrap();
    chown(directory.path(), Some(65534), Some(65534)).unwrap();
    let path = directory.path().join("capture");
    run(&["demo", "self-connect", "--pcap", path.to_str().unwrap()]);
    assert!(path.metadata().unwrap().len() > 0);
}
