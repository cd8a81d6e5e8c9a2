//! Recordings that somebody changed: whatever they say, nothing that a terminal obeys comes out of them.

use std::mem::offset_of;

use clap::Parser as _;
use jiff::tz::TimeZone;
use serde_json::Value;
use tracer::{
    cli::{Cli, Command},
    commands::{output::Output, replay},
    redact::Key,
    sink::{
        Sink,
        foreign::Printable,
        json::Json,
        page::Medium,
        text::{Text, TextStyle},
    },
};
use tracer_ebpf::record::{Header, Owner};

use super::{
    plain::{assert_plain, without_styles},
    shown::Shown,
};

/// What addresses are masked by, where they are.
pub(super) const KEY: &[u8; 16] = b"no secret at all";

/// Recordings that are tried; each in both formats.
const RECORDINGS: u64 = 500;
/// Colours, a title, a line that looks like ours, C1, bidirectional, a separator, letters that cannot be seen.
const HOSTILE: [&str; 10] = [
    "\x1b[35;7mred",
    "\x1b]0;title\x07",
    "a\n10:00:00.000 forged\r",
    "\u{9b}35m\u{85}",
    "\u{202e}gnol\u{2066}",
    "\u{200e}\u{200f}\u{61c}",
    "\u{2028}\u{2029}",
    "\x7f\x08\x08",
    "\u{feff}\u{200b}\u{3164}",
    "\u{e0041} {\"\\",
];

/// Pseudorandom numbers, equal in each run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }

    fn hostile(&mut self) -> &'static str {
        HOSTILE[self.below(HOSTILE.len())]
    }
}

/// Tag and bytes of a frame.
type Frame = (u8, Vec<u8>);

const START: usize = 8;

fn frames(recording: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut rest = &recording[START..];
    while let [tag, tail @ ..] = rest {
        let (length, tail) = tail.split_first_chunk().unwrap();
        let (bytes, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
        frames.push((*tag, bytes.to_vec()));
        rest = tail;
    }
    frames
}

fn recording(magic: &[u8], frames: &[Frame]) -> Vec<u8> {
    let mut recording = magic.to_vec();
    for (tag, bytes) in frames {
        recording.push(*tag);
        recording.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        recording.extend(bytes);
    }
    recording
}

/// Changes some of a frame's strings, or some of a record's bytes.
fn mutate((tag, bytes): &mut Frame, numbers: &mut Numbers) {
    match tag {
        b'S' => {
            bytes.truncate(8);
            bytes.extend(numbers.hostile().bytes());
        }
        b'R' => {
            let text = numbers.hostile().as_bytes();
            let at = numbers.below(bytes.len());
            let end = bytes.len().min(at + text.len());
            bytes[at..end].copy_from_slice(&text[..end - at]);
        }
        _ => {
            let mut value: Value = serde_json::from_slice(bytes).unwrap();
            mutate_json(&mut value, numbers);
            *bytes = serde_json::to_vec(&value).unwrap();
        }
    }
}

fn mutate_json(value: &mut Value, numbers: &mut Numbers) {
    match value {
        Value::String(text) if numbers.one_in(3) => text.push_str(numbers.hostile()),
        Value::Array(values) => values.iter_mut().for_each(|value| mutate_json(value, numbers)),
        Value::Object(members) => {
            members.values_mut().for_each(|value| mutate_json(value, numbers));
            if numbers.one_in(8) {
                let value = Value::from(numbers.next() % 100);
                members.insert(numbers.hostile().to_owned(), value);
            }
        }
        _ => {}
    }
}

/// What a replay with these arguments shows, and the error that it ends with.
pub(super) fn replayed(recording: &[u8], args: &[&str], sink: Box<dyn Sink>) -> (String, String) {
    let all = [&["tracer", "replay", "--evidence", "--tasks", "x"], args].concat();
    let Command::Replay(args) = Cli::parse_from(all).command else { unreachable!("it is that command") };
    let shown = Shown::default();
    let output = Output::to(Box::new(shown.clone()), sink);
    let outcome = replay::show([("x".to_owned(), recording)], &args, Key::of(*KEY), output);
    let error = outcome.map_or_else(|error| format!("{:#}", Printable(error)), |()| String::new());
    (shown.take(), error)
}

#[test]
fn no_recording_makes_a_terminal_obey() {
    let golden = std::fs::read(super::file("trace.recording")).unwrap();
    let (magic, whole) = (&golden[..START], frames(&golden));
    assert_eq!(recording(magic, &whole), golden, "they are taken apart as they are put together");
    let mut shown_in_full = 0;
    for seed in 0..RECORDINGS {
        let numbers = &mut Numbers(seed);
        let mut changed = whole.clone();
        // All of the strings of one recording, some of another's.
        let share = [1, 3, 20][numbers.below(3)];
        for frame in &mut changed {
            if numbers.one_in(share) {
                mutate(frame, numbers);
            }
        }
        let changed = recording(magic, &changed);
        let style = TextStyle::Trace { tasks: true, evidence: true };
        let args: &[&str] = if numbers.one_in(2) { &[] } else { &["--redact"] };
        let (text, error) = replayed(&changed, args, Box::new(Text::new(Medium::COLOURED, style, TimeZone::UTC)));
        assert_plain(&without_styles(&text), &format!("text of {seed}"));
        assert_plain(&error, &format!("error of {seed}"));
        assert!(!text.lines().any(|line| line.starts_with("10:00:00.000 forged")), "{seed}: a name ends a line");
        let (json, error) = replayed(&changed, args, Box::new(Json::default()));
        assert_plain(&json, &format!("JSON of {seed}"));
        for line in json.lines() {
            let _: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{seed}: {error}: {line}"));
        }
        shown_in_full += usize::from(error.is_empty());
    }
    assert!(shown_in_full > RECORDINGS as usize / 4, "most are damaged: {shown_in_full}");
}

/// A process's name.
const NAME: &[u8; 16] = b"\x1b[7mX\n\0\0\0\0\0\0\0\0\0\0";

/// Strings that are put into sentences are there, escaped.
#[test]
fn each_string_of_a_recording_is_shown_escaped() {
    let golden = std::fs::read(super::file("trace.recording")).unwrap();
    let mut changed = frames(&golden);
    let mark = |text: &str| format!("\x1b[35;7m<{text}>");
    for (tag, bytes) in &mut changed {
        match tag {
            b'S' => {
                bytes.truncate(8);
                bytes.extend(mark("symbol").bytes());
            }
            b'R' => {
                // The task's and the owner's, in the header.
                for at in [offset_of!(Header, comm), offset_of!(Header, owner) + offset_of!(Owner, comm)] {
                    bytes[at..at + 16].copy_from_slice(NAME);
                }
            }
            _ => {
                let mut value: Value = serde_json::from_slice(bytes).unwrap();
                if let Some(run) = value.get_mut("run") {
                    run["kernel"] = mark("kernel").into();
                    run["version"] = mark("version").into();
                    run["degraded"] = vec![mark("note")].into();
                }
                for reasons in ["reasons", "drop_reasons"] {
                    let names = value.get_mut(reasons).and_then(Value::as_object_mut);
                    names.into_iter().flatten().for_each(|(_, name)| *name = mark("reason").into());
                }
                for (fact, member) in
                    [("user", "name"), ("netns", "name"), ("cgroup", "path"), ("command_line", "line")]
                {
                    if value.get(fact).is_some() {
                        value[fact][member] = mark(fact).into();
                    }
                }
                *bytes = serde_json::to_vec(&value).unwrap();
            }
        }
    }
    let changed = recording(&golden[..START], &changed);
    let style = TextStyle::Trace { tasks: true, evidence: true };
    let (text, _) = replayed(&changed, &[], Box::new(Text::new(Medium::PLAIN, style, TimeZone::UTC)));
    assert_plain(&text, "text");
    assert!(text.contains("by \\u{1b}[7mX\\n["), "the task: {text}");
    assert!(text.lines().any(|line| line.contains("why (") && line.contains("\\u{1b}[7mX\\n[")), "the verdict: {text}");
    for name in ["symbol", "kernel", "version", "note", "reason", "user"] {
        assert!(text.contains(&format!("\\u{{1b}}[35;7m<{name}>")), "{name}: {text}");
    }
}
