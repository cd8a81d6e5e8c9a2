//! The recording that other tests compare with: records, facts and names of each sort.

use std::collections::BTreeSet;

use tracer::{
    event::{Event, Kind},
    host::clock::Clock,
    pipeline::{
        decode::{self, Decoded},
        enrich::{Enricher, host_facts::HostFacts, symbols::Symbols},
    },
    recording::{Frame, Reader},
};

/// The file.
pub const FILE: &[u8] = include_bytes!("../../tests/golden/trace.recording");

/// Bytes at its start: what it is, and of which version.
const MAGIC: usize = 8;

/// Tag and bytes of each frame, the preamble's first.
pub fn frames() -> Vec<(u8, &'static [u8])> {
    let mut frames = Vec::new();
    let mut rest = &FILE[MAGIC..];
    while let [tag, tail @ ..] = rest {
        let (length, tail) = tail.split_first_chunk().expect("a length");
        let (bytes, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
        frames.push((*tag, bytes));
        rest = tail;
    }
    frames
}

/// The recording that has these frames.
pub fn recording<'a>(frames: impl Iterator<Item = (u8, &'a [u8])>) -> Vec<u8> {
    let mut recording = FILE[..MAGIC].to_vec();
    for (tag, bytes) in frames {
        recording.push(tag);
        recording.extend(u32::try_from(bytes.len()).expect("short").to_le_bytes());
        recording.extend(bytes);
    }
    recording
}

/// Calls `work` with the events that are in it, which are made once in a thread.
pub fn with_events(work: impl FnOnce(&[Event], &BTreeSet<Kind>)) {
    thread_local!(static EVENTS: (Vec<Event>, BTreeSet<Kind>) = (events(), Kind::ALL.into_iter().collect()));
    EVENTS.with(|(events, kinds)| work(events, kinds));
}

fn events() -> Vec<Event> {
    let (mut reader, preamble) = Reader::new(FILE).expect("a recording");
    let (clock, symbols) = (Clock::since(preamble.boot), Symbols::Recorded(Default::default()));
    let mut enricher = Enricher::new(clock, symbols, HostFacts::recorded(), preamble.reasons());
    let mut events = Vec::new();
    loop {
        match reader.frame().expect("it is whole") {
            Frame::Symbol(address, name) => enricher.symbols().add(address, name),
            Frame::Fact(fact) => enricher.host_facts().learn(fact),
            Frame::Record(bytes) => {
                let Decoded { record, also } = decode::decode(&bytes).expect("a record");
                events.extend([Some(record), also].into_iter().flatten().filter_map(|record| enricher.event(record)));
            }
            Frame::Loss(_) => {}
            Frame::Summary(_) | Frame::Continued => return events,
        }
    }
}
