//! Filters that cannot be: one clear message, before anything is attached.

use crate::report::tracer;

#[test]
#[ignore = "needs root"]
fn what_is_not_written_as_it_must_be_is_wrong_usage() {
    for (option, value, reason) in [
        ("-P", "0", "(1-65535)"),
        ("-L", "9-8", "(1-65535)"),
        ("-D", "80,65536", "(1-65535)"),
        ("-P", "http", "(1-65535)"),
        ("--addr", "10.0.0.0/33", "an address or a network"),
        ("--addr", "10/8", "an address or a network"),
        ("--addr", "::1,example.org", "an address or a network"),
        ("--comm", "sixteen-bytes-xx", "15 bytes"),
        ("-p", "0", "0 is not in 1.."),
        ("-e", "states", "possible values"),
        ("--opens", "actively", "possible values"),
    ] {
        for command in [&["trace"][..], &["replay", "no-such-file"]] {
            let output = tracer().args(command).args([option, value]).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{option} {value}: {output:?}");
            assert!(output.stdout.is_empty(), "{output:?}");
            let text = String::from_utf8(output.stderr.clone()).unwrap();
            let wrong = value.rsplit(',').next().unwrap();
            let clear = text.contains(reason) && text.contains(&format!("'{wrong}'")) && text.contains(option);
            assert!(clear || option.len() == 2 && text.contains(reason), "{option} {value}: {text}");
            assert_eq!(text.matches("error:").count(), 1, "{text}");
        }
    }
    for args in [&["-4", "-6"][..], &["-f"], &["-p", "1", "--", "true"]] {
        let output = tracer().arg("trace").args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn what_is_not_there_is_said_with_a_remedy() {
    for (option, value, remedy) in [
        // No kernel gives ids from 2^22 on (PID_MAX_LIMIT).
        ("-p", "4194304", "ps or pgrep"),
        ("-u", "no such user", "getent passwd"),
        ("--netns", "no-such-netns", "ip netns"),
        ("--netns", "/no/such/file", "/proc/PID/ns/net"),
        ("--cgroup", "/no/such/group", "systemd-cgls"),
    ] {
        let output = tracer().args(["trace", "-j", option, value]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "one sentence: {text}");
        assert!(text.contains(value) && text.contains(remedy), "{text}");
        assert!(output.stdout.is_empty(), "it did not even begin: {output:?}");
    }
}
