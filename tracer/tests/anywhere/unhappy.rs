//! What goes wrong goes wrong in one sentence, with a fitting exit status, and leaves nothing behind.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Output, Stdio},
};

use caps::Capability;
use nix::errno::Errno;

use crate::{
    named::no_names,
    report::{run, tracer},
};

fn message(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.trim_end().lines().count(), 1, "one sentence: {text}");
    text
}

#[test]
#[ignore = "needs root"]
fn without_privileges_it_says_which_are_missing() {
    for command in ["trace", "demo", "doctor"] {
        let mut process = tracer();
        process.arg(command);
        // Not another user: that one may not reach a binary below someone's home directory.
        // SAFETY: prctl is async-signal-safe.
        unsafe {
            process.pre_exec(|| {
                for capability in [Capability::CAP_SYS_ADMIN, Capability::CAP_PERFMON, Capability::CAP_BPF] {
                    let number = libc::c_ulong::from(capability.index());
                    Errno::result(libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0))?;
                }
                Ok(())
            });
        }
        let output = process.output().unwrap();
        assert_eq!(output.status.code(), Some(77), "{command}");
        let text = message(&output);
        assert!(text.contains("CAP_BPF") && text.contains("root"), "{text}");
    }
}

#[test]
#[ignore = "needs root"]
fn wrong_usage_is_exit_code_2() {
    for args in [&["demo", "no-such-scenario"][..], &["trace", "-d", "0"], &["trace", "-e", "x"], &["nonsense"], &[]] {
        let output = tracer().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
#[ignore = "needs root"]
fn a_file_that_exists_is_neither_overwritten_nor_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (kept, link) = (directory.path().join("kept"), directory.path().join("link"));
    fs::write(&kept, "kept").unwrap();
    std::os::unix::fs::symlink(directory.path().join("elsewhere"), &link).unwrap();
    for (path, why) in [(&kept, "--force"), (&link, "symbolic link")] {
        for args in [["trace", "-d", "1", "-o"], ["rst", "-d", "1", "-w"], ["demo", "-4", "closed-port", "--pcap"]] {
            let output = tracer().args(args).arg(path).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
            assert!(message(&output).contains(why), "{args:?}: {output:?}");
        }
    }
    assert_eq!(fs::read(&kept).unwrap(), b"kept");
    assert!(!directory.path().join("elsewhere").exists());
    run(&["trace", "--force", "-d", "1", "-o", kept.to_str().unwrap()]);
    assert_ne!(fs::read(&kept).unwrap(), b"kept");
}

#[test]
#[ignore = "needs root"]
fn a_btf_file_without_an_end_does_not_take_all_memory() {
    let output = tracer().args(["trace", "-d", "1", "--btf", "/dev/zero"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(message(&output).contains("larger than 64 MiB"), "{output:?}");
}

#[test]
#[ignore = "needs root"]
fn an_early_end_of_the_reader_is_no_failure() {
    let mut child = tracer().args(["demo", "-j"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // As `| head -1` does: reads something and goes.
    let mut first = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs root"]
fn a_full_disk_is_reported() {
    let output = tracer().args(["demo", "-j"]).stdout(fs::File::create("/dev/full").unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message(&output).contains("No space left"), "{output:?}");
}

#[test]
#[ignore = "needs root"]
fn a_killed_demo_leaves_nothing_behind() {
    let _no_names = no_names();
    let before = surroundings();
    for after_lines in [1, 30] {
        let mut child = tracer().args(["demo", "-j"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        for _ in 0..after_lines {
            lines.next().unwrap().unwrap();
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
    assert_eq!(left_since(&before), Vec::<String>::new());
    // And the next one finds nothing in its way.
    run(&["demo", "-j"]);
    assert_eq!(left_since(&before), Vec::<String>::new());
}

/// What is there now and was not before. What a neighbour has removed meanwhile does not matter.
fn left_since(before: &[BTreeSet<String>]) -> Vec<String> {
    surroundings().iter().zip(before).flat_map(|(now, before)| now.difference(before).cloned()).collect()
}

/// What a run could leave: network devices, mounts, named namespaces, pinned objects, eBPF programs.
fn surroundings() -> Vec<BTreeSet<String>> {
    let names = |path: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(path).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    };
    let lines = |path: &str| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    vec![names("/sys/class/net"), names("/run/netns"), names("/sys/fs/bpf"), lines("/proc/self/mounts")]
}

#[test]
#[ignore = "needs root"]
fn a_recording_that_is_none_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("other");
    fs::write(&file, "not a tracer recording").unwrap();
    let output = tracer().arg("replay").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message(&output).contains("not a tracer recording"), "{output:?}");
}
