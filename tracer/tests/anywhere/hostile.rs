//! What others call themselves, and what they are given as, cannot do anything to a terminal, nor to JSON.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::ffi::OsStrExt,
    process::{Child, ChildStdout, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tracer::testbed::host::Host;

use crate::{
    cgroup::Group,
    child::Player,
    named::Named,
    observe::wait_closed,
    report::{Trace, objects, of_kind, tracer},
};

/// Colours, a title, a line that looks like an event, invalid UTF-8, a control character of two bytes, and one that
/// turns the text around.
const ARGUMENTS: &[u8] = b"\x1b[31mred\x1b]0;title\x07\r\n10:00:00.000 fake\n\xff\xfe\xc2\x9b31m\xe2\x80\xae\0";
/// Of a namespace, and of a container.
const NAME: &str = "\x1b[7mX\n\u{9b}1m\u{202e}";

/// What it does gives each kind of event that this kernel shows, and verdicts that name it.
const ACTS: &str = "self 127.0.0.1:1000; abort; refused 127.0.0.1:1001 127.0.0.1:9; wait";
const CLOSES: usize = 4;

fn hostile() -> Player {
    let title: String = ARGUMENTS.iter().map(|byte| format!("{byte:02x}")).collect();
    // A name may have all but NUL.
    Player::start(&format!("title {title}; name \x1b[2J\n\u{9b}31m; wait; {ACTS}"))
}

/// No control character but the ends of lines, and none that cannot be seen.
#[track_caller]
fn assert_plain(text: &str) {
    let is_hazard = |c: char| c != '\n' && c.is_control() || ('\u{200b}'..='\u{202e}').contains(&c) && c != '\u{2026}';
    assert!(!text.contains(is_hazard), "{text:?}");
}

/// A trace in text.
struct Text {
    child: Child,
    output: BufReader<ChildStdout>,
    shown: String,
}

impl Text {
    fn start(args: &[&str]) -> Self {
        let mut child = tracer().args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut shown = String::new();
        while !shown.contains("TIME ") {
            assert_ne!(output.read_line(&mut shown).unwrap(), 0, "it ended early: {shown}");
        }
        Self { child, output, shown }
    }

    /// All that it showed.
    fn stop(mut self) -> String {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        self.output.read_to_string(&mut self.shown).expect("UTF-8");
        assert!(self.child.wait().unwrap().success());
        self.shown
    }
}

#[test]
#[ignore = "needs root"]
fn every_kind_of_event_stays_text() {
    let host = Host::new("hostile").unwrap();
    let (mut player, named) = host.run(|| Ok((hostile(), Named::new(NAME)))).unwrap();
    // Containers of LXC are called as one likes.
    let group = Group::named("lxc.payload.\x1b[7mX\u{9b}1m\u{202e}");
    if let Ok(group) = &group {
        group.take_below(player.pid());
    }
    let netns = host.netns().to_string();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("recording");
    let events = ["-e", "state,rst,stray,open,close,raw", "--netns", &netns];
    let recorded = ["--tasks", "--evidence", "-w", file.to_str().unwrap()];
    let text = Text::start(&[&["trace"], &events[..], &recorded].concat());
    let rsts = Text::start(&["rst", "--evidence", "--stacks", "--netns", &netns]);
    // The last to attach is the last to see an event; and `objects` and this read it as UTF-8.
    let mut json = Trace::start(&events);
    player.go();
    player.wait_ready();
    wait_closed(&mut json, CLOSES);
    let seen = json.stop();
    let (text, rsts) = (text.stop(), rsts.stop());

    for shown in [&text, &rsts] {
        assert_plain(shown);
        let whys: Vec<_> = shown.lines().filter(|line| line.contains("why (")).collect();
        assert!(whys.iter().any(|line| line.contains("\\u{1b}[2J\\n")), "a verdict names it: {shown}");
        assert!(!shown.lines().any(|line| line.starts_with("10:00:00.000 fake")), "{shown}");
        assert!(shown.contains("\\u{1b}[31mred"), "its command line is shown, escaped: {shown}");
        // Lines are folded at blanks.
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains("netns \\u{1b}[7mX\\n\\u{9b}1m\\u{202e}"), "its namespace: {shown}");
        assert!(group.is_err() || shown.contains("container lxc:\\u{1b}[7mX"), "its container: {shown}");
    }
    let table = rsts.lines().skip_while(|line| !line.trim_start().starts_with("COUNT"));
    assert!(table.into_iter().any(|line| line.contains("\\u{1b}[2J")), "the table names it: {rsts}");

    let open = of_kind(&seen, "open")[0];
    let line = open["owner"]["cmdline"].as_str().unwrap();
    assert!(line.contains("\x1b[31mred") && line.contains("\u{fffd}"), "as it is, but for what is no text: {line:?}");
    let name = open["owner"]["comm"].as_str().unwrap();
    assert!(name.starts_with("\x1b[2J\n"), "{name:?}");
    assert_eq!(open["netns_name"], NAME);

    // The same when it is replayed; and no line of JSON has a raw one.
    let replay = |args: &[&str]| {
        let output = tracer().arg("replay").args(args).arg(&file).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_plain(&replay(&["--tasks", "--evidence"]));
    let json = replay(&["-j"]);
    assert_plain(&json);
    let replayed: Vec<Value> = objects(json.as_bytes());
    assert_eq!(of_kind(&replayed, "open")[0]["owner"]["cmdline"], line);
    drop(named);
}

#[test]
#[ignore = "needs root"]
fn what_is_refused_is_said_in_plain_text() {
    let hostile = "/no/\x1b[31m\u{9b}1m\u{202e}\x07such";
    for args in [
        &["trace", "--netns", hostile][..],
        &["trace", "--cgroup", hostile],
        &["trace", "--user", hostile],
        &["trace", "--comm", hostile],
        &["trace", "-e", hostile],
        &["trace", "-d", hostile],
        &["trace", "-P", hostile],
        &["trace", "--addr", hostile],
        &["trace", "-o", hostile],
        &["trace", "-w", hostile],
        &["trace", "--", hostile],
        &["trace", "--btf", hostile],
        &["trace", hostile],
        &["rst", "--opens", hostile],
        &["demo", hostile],
        &["demo", "self-connect", "--pcap", hostile],
        &["replay", hostile],
        &["doctor", "--btf", hostile],
        &["doctor", "-j", "--btf", hostile],
        &["--probes", hostile, "doctor"],
        &[hostile],
        &[&hostile[4..]],
    ] {
        let output = tracer().args(args).output().unwrap();
        assert!(!output.status.success(), "{args:?}");
        let (said, shown) = (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap());
        assert_plain(&said);
        assert_plain(&shown);
        assert!(said.contains("\\u{9b}1m\\u{202e}"), "{args:?} are named, escaped: {said}");
    }
    // What is no UTF-8, too.
    let output = tracer().arg("replay").arg(OsStr::from_bytes(b"/no/\x1b[31m\xff\x9b31m")).output().unwrap();
    assert_plain(&String::from_utf8(output.stderr).unwrap());
}

/// A recording whose name and whose strings are hostile, in an error.
#[test]
#[ignore = "needs root"]
fn a_recording_of_another_kind_says_so_in_plain_text() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("\x1b[31m\u{202e}");
    let preamble = r#"{"endian":"\u001b[31m\u202e","boot":"1970-01-01T00:00:00Z","reasons":{},
        "run":{"version":"","kernel":"","probes":{},"degraded":[]}}"#;
    let golden = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/trace.recording")).unwrap();
    let mut recording = golden[..8].to_vec();
    recording.push(b'P');
    recording.extend(u32::try_from(preamble.len()).unwrap().to_le_bytes());
    recording.extend(preamble.as_bytes());
    fs::write(&file, recording).unwrap();
    let output = tracer().arg("replay").arg(&file).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_plain(said.trim_end());
    assert!(said.contains("on a \\u{1b}[31m\\u{202e}-endian machine"), "{said}");
}
