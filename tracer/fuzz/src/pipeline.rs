//! Frames of a recording through all that a replay does: decoded, enriched, diagnosed, and written in each format.
//!
//! An input is a byte of options, then frames: `R` and a record, which says itself how long it is; `S` (a symbol), `F` (a
//! fact) or `L` (a loss), a length of two bytes, and what the frame has. So what is changed at one place leaves the rest
//! as it was, which a recording's lengths and JSON would not allow.

use std::{
    hash::{DefaultHasher, Hasher as _},
    mem::offset_of,
    sync::OnceLock,
};

use clap::{Parser as _, ValueEnum as _};
use serde_json::Value;
use tracer::{
    cli::{Cli, Command, ReplayArgs},
    commands::{output::Output, replay},
    redact::Key,
    sink::{foreign::Printable, format::Format, json, page::Medium, text::TextStyle},
};
use tracer_ebpf::record::Header;

use crate::{
    golden,
    limit::Limit,
    plain::{assert_plain, without_styles},
    proportional::is_proportional,
    shown::Shown,
    valid,
};

/// What is remembered of connections has its bound, and is allocated at once. A record waits as an event with names,
/// which a recording gives once, and is written with a verdict in words.
pub const LIMIT: Limit = Limit { fixed: 32 << 20, per_byte: 512 };

/// Options: the recording is whole; the terminal shows colours; each event has its task; each RST has its evidence.
const IS_WHOLE: u8 = 1;
const COLOUR: u8 = 2;
const TASKS: u8 = 4;
const EVIDENCE: u8 = 8;

/// One of so many inputs is played many times over, to see that twice the work takes twice the time.
const REPEATED: u64 = 64;
/// Records of a short play and of a long one.
const SHORT: usize = 1000;
const LONG: usize = 4 * SHORT;
/// The long one may take so many times as long as the short one: 16 would be a square.
const RATIO: u32 = 9;
/// Tag and bytes.
pub type Frame = (u8, Vec<u8>);

/// Any frames are shown, as far as they are frames.
pub fn check(bytes: &[u8]) {
    let Some((options, frames)) = bytes.split_first() else { return };
    let frames = frames_of(frames);
    play(*options, &frames);
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    if hasher.finish().is_multiple_of(REPEATED) {
        repeat(*options, &frames, hasher.finish() / REPEATED);
    }
}

/// Takes an input apart.
fn frames_of(mut rest: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [tag, tail @ ..] = rest {
        rest = tail;
        let length = match tag {
            b'R' => {
                let at = offset_of!(Header, size);
                let size = tail.get(at..at + 2).and_then(|size| size.first_chunk().copied());
                usize::from(size.map_or(0, u16::from_ne_bytes))
            }
            b'S' | b'F' | b'L' => {
                let Some((length, after)) = tail.split_first_chunk() else { break };
                rest = after;
                u16::from_le_bytes(*length).into()
            }
            _ => continue,
        };
        let (bytes, after) = rest.split_at(length.min(rest.len()));
        frames.push((*tag, bytes.to_vec()));
        rest = after;
    }
    frames
}

/// Puts an input together.
pub(crate) fn input_of(options: u8, frames: impl Iterator<Item = (u8, &'static [u8])>) -> Vec<u8> {
    let mut input = vec![options];
    for (tag, bytes) in frames {
        input.push(tag);
        if tag != b'R' {
            input.extend(u16::try_from(bytes.len()).expect("short").to_le_bytes());
        }
        input.extend(bytes);
    }
    input
}

/// The recording that has these frames.
fn recording(options: u8, frames: &[Frame]) -> Vec<u8> {
    let golden = golden::frames();
    let (first, last) = (golden.first(), golden.last().filter(|_| options & IS_WHOLE != 0));
    let own = frames.iter().map(|(tag, bytes)| (*tag, &bytes[..]));
    golden::recording(first.copied().into_iter().chain(own).chain(last.copied()))
}

/// Shows them in each format.
pub fn play(options: u8, frames: &[Frame]) {
    let recording = recording(options, frames);
    for format in Format::value_variants() {
        let (shown, error) = LIMIT.hold(recording.len(), || show(options, *format, &recording));
        assert_plain(&error, "the error");
        match format {
            Format::Text => assert_plain(&without_styles(&shown), "the text"),
            Format::Json => {
                assert_plain(&shown, "the JSON");
                shown.lines().for_each(|line| drop(valid::object(line, schema())));
            }
        }
    }
}

/// What a replay shows, and the error that it ends with.
pub fn show(options: u8, format: Format, recording: &[u8]) -> (String, String) {
    let style = TextStyle::Trace { tasks: options & TASKS != 0, evidence: options & EVIDENCE != 0 };
    let medium = if options & COLOUR != 0 { Medium::COLOURED } else { Medium::PLAIN };
    let shown = Shown::default();
    let output = Output::to(Box::new(shown.clone()), format.sink(style, medium));
    let outcome = replay::show([(String::new(), recording)], arguments(), Key::of([0; 16]), output);
    let error = outcome.map_or_else(|error| format!("{:#}", Printable(error)), |()| String::new());
    (shown.take(), error)
}

/// Insists on a time that is proportional to the length.
fn repeat(options: u8, frames: &[Frame], variant: u64) {
    let records = frames.iter().filter(|(tag, _)| *tag == b'R').count();
    if records == 0 {
        return;
    }
    let recording = |count: usize| {
        let rounds = (0..count.div_ceil(records) as u64).map(|round| {
            let mut frames = frames.to_vec();
            frames.iter_mut().for_each(|frame| change(frame, round, variant));
            frames
        });
        recording(options, &rounds.flatten().collect::<Vec<_>>())
    };
    let (short, long) = (recording(SHORT), recording(LONG));
    for format in Format::value_variants() {
        let work = |count| {
            let recording = if count == SHORT { &short } else { &long };
            LIMIT.hold(recording.len(), || show(options, *format, recording));
        };
        assert!(
            is_proportional(work, SHORT, LONG, RATIO),
            "{LONG} records as {format:?} take more than {RATIO} times as long as {SHORT}"
        );
    }
}

/// What is the same in each round is a series, what differs is a crowd.
fn change((tag, bytes): &mut Frame, round: u64, variant: u64) {
    if *tag != b'R' {
        return;
    }
    let mut add = |at: usize, length: usize, much: u64| {
        let Some(place) = bytes.get_mut(at..at + length) else { return };
        let mut number = [0; 8];
        number[..length].copy_from_slice(place);
        let number = u64::from_le_bytes(number).wrapping_add(much).to_le_bytes();
        place.copy_from_slice(&number[..length]);
    };
    let is_chosen = |bit: u32| variant >> bit & 1 != 0;
    if is_chosen(0) {
        add(offset_of!(Header, mono_ns), 8, round * if is_chosen(1) { 5_000 } else { 5_000_000 });
    }
    if is_chosen(2) {
        add(offset_of!(Header, sock), 8, round * 64);
    }
    if is_chosen(3) {
        add(offset_of!(Header, remote_addr), 4, round);
    }
    if is_chosen(4) {
        add(offset_of!(Header, owner), 4, round);
    }
}

fn arguments() -> &'static ReplayArgs {
    static ARGUMENTS: OnceLock<ReplayArgs> = OnceLock::new();
    ARGUMENTS.get_or_init(|| match Cli::parse_from(["tracer", "replay", "x"]).command {
        Command::Replay(args) => args,
        other => unreachable!("it is that command: {other:?}"),
    })
}

fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| serde_json::to_value(json::schema()).expect("the schema is JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_taken_apart_as_it_was_put_together() {
        let golden = golden::frames();
        let own = || golden.iter().copied().filter(|(tag, _)| b"RSFL".contains(tag));
        let expected: Vec<Frame> = own().map(|(tag, bytes)| (tag, bytes.to_vec())).collect();
        assert_eq!(frames_of(&input_of(0, own())[1..]), expected);
        // What is left out is the preamble and the summary.
        assert_eq!(recording(IS_WHOLE, &expected), golden::FILE);
    }

    #[test]
    fn rounds_differ_where_they_are_to() {
        let record = golden::frames().into_iter().find(|(tag, _)| *tag == b'R').expect("a record");
        let changed = |round, variant| {
            let mut frame = (record.0, record.1.to_vec());
            change(&mut frame, round, variant);
            frame.1
        };
        assert_eq!(changed(7, 0), record.1);
        let places = (0..record.1.len()).filter(|&at| changed(1, 0b11_101)[at] != record.1[at]).collect::<Vec<_>>();
        let starts = |at: usize, length: usize| places.iter().any(|place| (at..at + length).contains(place));
        assert!(starts(offset_of!(Header, mono_ns), 8) && starts(offset_of!(Header, sock), 8), "{places:?}");
        assert!(starts(offset_of!(Header, remote_addr), 4) && starts(offset_of!(Header, owner), 4), "{places:?}");
    }

    #[test]
    fn each_variant_of_the_golden_recording_takes_its_share_of_time() {
        let all: Vec<Frame> = golden::frames().into_iter().map(|(tag, bytes)| (tag, bytes.to_vec())).collect();
        let own = &all[1..all.len() - 1];
        (0..32).step_by(5).for_each(|variant| repeat(0, own, variant));
    }
}
