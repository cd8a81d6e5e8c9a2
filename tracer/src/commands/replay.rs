//! `tracer replay`: a recording through the same decode ... sink as a live run, on any machine, without
//! privileges.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Read},
    process::ExitCode,
};

use anyhow::Context as _;

use crate::{
    cli::ReplayArgs,
    commands::{
        output::{Output, OutputArgs},
        tally::Tally,
    },
    event::kind::Kind,
    filter::Admission,
    host::clock::Clock,
    pipeline::{
        decode::{self, Body, Decoded},
        diagnose::{Diagnoser, Watch},
        enrich::{
            Enricher,
            place::{Fact, Places},
            symbols::Symbols,
        },
    },
    recording::{self, Frame, Preamble, Reader},
    report::Summary,
    sink::{Item, text::TextStyle},
};

/// Runs the command.
///
/// # Errors
/// If the file is no recording or the output fails; or, after all before it is shown, where the file is
/// cut off or damaged.
pub fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let path = args.file.display();
    let file = File::open(&args.file).with_context(|| format!("cannot open {path}"))?;
    let style = TextStyle::Trace { tasks: args.tasks, evidence: args.evidence };
    let output = Output::new(&OutputArgs { format: args.format.format(), style, file: None })?;
    match show(BufReader::new(file), args, output) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Another error is not about this file.
        Err(error) if error.is::<recording::Error>() => Err(error.context(path.to_string())),
        Err(error) => Err(error),
    }
}

/// Shows a recording, wherever it is from.
///
/// # Errors
/// As [`run`].
pub fn show(recording: impl Read, args: &ReplayArgs, output: Output) -> anyhow::Result<()> {
    let (mut reader, preamble) = Reader::new(recording)?;
    let mut replay = Replay::new(args, &preamble, output)?;
    loop {
        match reader.frame() {
            Ok(Frame::Summary(summary)) => return replay.finish(Some(*summary)),
            Ok(frame) => replay.take(frame)?,
            Err(error) => {
                replay.finish(None)?;
                return Err(error.into());
            }
        }
    }
}

/// From frames to the output.
struct Replay {
    enricher: Enricher,
    diagnoser: Diagnoser,
    admission: Admission,
    tally: Tally,
    output: Output,
}

impl Replay {
    fn new(args: &ReplayArgs, preamble: &Preamble, mut output: Output) -> anyhow::Result<Self> {
        let symbols = Symbols::Recorded(HashMap::new());
        let kinds = if args.events.is_empty() { Kind::ALL.to_vec() } else { args.events.clone() };
        output.write(Item::Start(&preamble.run))?;
        let mut diagnoser = Diagnoser::new(Watch::since(preamble.attached_ns));
        if !preamble.sees_sent {
            diagnoser.misses_sent();
        }
        Ok(Self {
            enricher: Enricher::new(Clock::since(preamble.boot), symbols, Places::recorded(), preamble.reasons()),
            diagnoser,
            admission: Admission::new(args.filter.clone(), kinds.into_iter().collect()),
            tally: Tally::default(),
            output,
        })
    }

    fn take(&mut self, frame: Frame) -> anyhow::Result<()> {
        match frame {
            Frame::Symbol(address, name) => self.enricher.symbols().add(address, name),
            Frame::Fact(Fact::Lost { mono_ns }) => self.diagnoser.lose(mono_ns),
            Frame::Fact(Fact::Stopped { mono_ns }) => self.diagnoser.stop(mono_ns),
            Frame::Fact(fact) => self.enricher.places().learn(fact),
            Frame::Record(bytes) => match decode::decode(&bytes) {
                Ok(Decoded { record, also }) => {
                    if let Body::Process(process) = &record.body {
                        self.admission.learn(process);
                    }
                    for record in [Some(record), also].into_iter().flatten() {
                        // What is not shown may be evidence all the same.
                        if let Some(event) = self.enricher.event(record) {
                            self.diagnoser.push(event);
                            self.show()?;
                        }
                    }
                }
                Err(error) => log::warn!("skipping malformed record: {error}"),
            },
            Frame::Loss(loss) => {
                self.diagnoser.reach(loss.mono_ns);
                self.show()?;
                self.output.write(Item::Loss(&loss))?;
            }
            Frame::Summary(_) => {}
        }
        Ok(())
    }

    fn show(&mut self) -> anyhow::Result<()> {
        while let Some(event) = self.diagnoser.pop() {
            if self.admission.admits(&event) {
                self.tally.add(&event);
                self.output.write(Item::Event(&event))?;
            }
        }
        Ok(())
    }

    /// Shows what waits, and the summary if the recording has one.
    fn finish(mut self, summary: Option<Summary>) -> anyhow::Result<()> {
        self.diagnoser.reach(u64::MAX);
        self.show()?;
        if let Some(summary) = summary {
            // The losses are the recording's; the counts are of what is shown.
            let causes = summary.causes.is_some().then(|| self.tally.rows());
            self.output.write(Item::Summary(&Summary { counts: self.output.counts(), causes, ..summary }))?;
        }
        Ok(self.output.flush()?)
    }
}
