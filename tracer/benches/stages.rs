//! Records per second through each stage, on one core: the golden recording, over and over. No privileges.
//!
//! `state` are its state changes alone, `all` is every record that it has, RSTs with their stacks among them.

use std::{
    io::{self, Write},
    iter,
};

use divan::{Bencher, counter::ItemsCount};
use jiff::tz::TimeZone;
use tracer::{
    event::{Body, Event},
    host::clock::Clock,
    pipeline::{
        decode::{self, Decoded, Record},
        diagnose::Diagnoser,
        enrich::{Enricher, host_facts::HostFacts, symbols::Symbols},
    },
    recording::{Frame, Preamble, Reader},
    sink::{
        Item, Sink,
        json::Json,
        page::Medium,
        text::{Text, TextStyle},
    },
};

static RECORDING: &[u8] = include_bytes!("../tests/golden/trace.recording");

/// Records in a round: enough that what a round begins and ends with does not count.
const RECORDS: usize = 4096;

/// Records to choose from.
const KINDS: [&str; 2] = ["state", "all"];

fn main() {
    divan::main();
}

/// A recording, taken apart.
struct Recorded {
    preamble: Preamble,
    symbols: Vec<(u64, String)>,
    facts: Vec<Frame>,
    records: Vec<Vec<u8>>,
}

impl Recorded {
    fn golden(kind: &str) -> Self {
        let (mut reader, preamble) = Reader::new(RECORDING).expect("a recording");
        let mut golden = Self { preamble, symbols: Vec::new(), facts: Vec::new(), records: Vec::new() };
        loop {
            match reader.frame().expect("it is whole") {
                Frame::Symbol(address, name) => golden.symbols.push((address, name)),
                fact @ Frame::Fact(_) => golden.facts.push(fact),
                Frame::Record(bytes) if kind == "all" || is_state(&bytes) => golden.records.push(bytes),
                Frame::Record(_) | Frame::Loss(_) => {}
                Frame::Summary(_) | Frame::Continued => break,
            }
        }
        golden.records = golden.records.iter().cycle().take(RECORDS).cloned().collect();
        golden
    }

    fn enricher(&self) -> Enricher {
        let mut places = HostFacts::recorded();
        for frame in &self.facts {
            let Frame::Fact(fact) = frame else { unreachable!("only facts are among them") };
            places.learn(fact.clone());
        }
        let symbols = Symbols::Recorded(self.symbols.iter().cloned().collect());
        Enricher::new(Clock::since(self.preamble.boot), symbols, places, self.preamble.reasons())
    }

    fn events(&self) -> Vec<Event> {
        let mut enricher = self.enricher();
        self.records.iter().flat_map(|bytes| records(bytes)).filter_map(|record| enricher.event(record)).collect()
    }
}

fn is_state(bytes: &[u8]) -> bool {
    matches!(decode::decode(bytes), Ok(it) if it.also.is_none() && matches!(it.record.body, decode::Body::State(_)))
}

/// What the bytes of a record hold.
fn records(bytes: &[u8]) -> impl Iterator<Item = Record> {
    let Decoded { record, also } = decode::decode(bytes).expect("a record");
    iter::once(record).chain(also)
}

#[divan::bench(args = KINDS)]
fn decode_records(bencher: Bencher<'_, '_>, kind: &str) {
    let golden = Recorded::golden(kind);
    bencher.counter(ItemsCount::new(golden.records.len())).bench_local(|| {
        for bytes in &golden.records {
            drop(divan::black_box(decode::decode(divan::black_box(bytes))));
        }
    });
}

#[divan::bench(args = KINDS)]
fn decode_and_enrich(bencher: Bencher<'_, '_>, kind: &str) {
    let golden = Recorded::golden(kind);
    let mut enricher = golden.enricher();
    bencher.counter(ItemsCount::new(golden.records.len())).bench_local(|| {
        for bytes in &golden.records {
            for record in records(bytes) {
                drop(divan::black_box(enricher.event(record)));
            }
        }
    });
}

/// Decoded, enriched, formatted and written to nowhere: all that the reader does but for the system calls.
fn decode_to_output(bencher: Bencher<'_, '_>, kind: &str, mut sink: impl Sink) {
    let golden = Recorded::golden(kind);
    let mut enricher = golden.enricher();
    bencher.counter(ItemsCount::new(golden.records.len())).bench_local(|| {
        let mut out = io::BufWriter::with_capacity(64 << 10, io::sink());
        for bytes in &golden.records {
            for event in records(bytes).filter_map(|record| enricher.event(record)) {
                sink.write(&mut out, Item::Event(&event)).expect("nowhere is never full");
            }
        }
        out.flush().expect("nowhere is never full");
    });
}

#[divan::bench(args = KINDS)]
fn decode_to_text(bencher: Bencher<'_, '_>, kind: &str) {
    let manner = TextStyle::Trace { tasks: false, evidence: false };
    decode_to_output(bencher, kind, Text::new(Medium::PLAIN, manner, TimeZone::UTC));
}

#[divan::bench(args = KINDS)]
fn decode_to_json(bencher: Bencher<'_, '_>, kind: &str) {
    decode_to_output(bencher, kind, Json::default());
}

/// RSTs to verdicts.
#[divan::bench]
fn diagnose(bencher: Bencher<'_, '_>) {
    let mut events = Recorded::golden("all").events();
    events.retain(|event| matches!(event.body, Body::Rst(_)));
    bencher.counter(ItemsCount::new(events.len())).with_inputs(|| events.clone()).bench_local_values(|events| {
        let mut diagnoser = Diagnoser::default();
        for event in events {
            diagnoser.push(event);
        }
        diagnoser.reach(u64::MAX);
        iter::from_fn(|| diagnoser.pop()).count()
    });
}
