//! `tracer replay`: a recording through the same decode ... sink as a live run, on any machine, without
//! privileges.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Read},
    process::ExitCode,
};

use anyhow::{Context as _, bail};

use crate::{
    cli::ReplayArgs,
    commands::{
        output::{Output, OutputArgs},
        showing::Showing,
        tally::Tally,
    },
    confine,
    event::kind::Kind,
    filter::Admission,
    host::clock::Clock,
    pipeline::{
        decode::{self, Body, Decoded},
        diagnose::Watch,
        enrich::{
            Enricher,
            host_facts::{Fact, HostFacts},
            symbols::Symbols,
        },
    },
    recording::{Frame, Preamble, Reader},
    report::Summary,
    sink::{Item, text::TextStyle},
};

/// Runs the command.
///
/// # Errors
/// If the file is no recording or the output fails; or, after all before it is shown, where the file is
/// cut off or damaged.
pub fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let mut files = Vec::new();
    for path in &args.files {
        files.push((path, File::open(path).with_context(|| format!("cannot open {}", path.display()))?));
    }
    let style = TextStyle::Trace { tasks: args.tasks, evidence: args.evidence };
    let output = Output::new(&OutputArgs { format: args.format.format(), style, file: None })?;
    confine::replay();
    show(files.into_iter().map(|(path, file)| (path.display().to_string(), BufReader::new(file))), args, output)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows a recording, wherever it is from: the files of one, in order, and what each is called.
///
/// # Errors
/// As [`run`].
pub fn show<R: Read>(
    parts: impl IntoIterator<Item = (String, R)>,
    args: &ReplayArgs,
    output: Output,
) -> anyhow::Result<()> {
    let mut replay = None;
    let mut output = Some(output);
    let mut first = None;
    let mut parts = parts.into_iter();
    while let Some((name, part)) = parts.next() {
        let (mut reader, preamble) = Reader::new(part).with_context(|| name.clone())?;
        let replay = match (&mut replay, output.take()) {
            (None, Some(output)) => replay.insert(Replay::new(args, &preamble, output)?),
            (Some(replay), _) => replay,
            (None, None) => unreachable!("the first part takes the output"),
        };
        let run = *first.get_or_insert((preamble.boot, preamble.attached_ns));
        if run != (preamble.boot, preamble.attached_ns) {
            bail!("{name} is of another recording: replay each recording by itself");
        }
        loop {
            match reader.frame() {
                Ok(Frame::Summary(summary)) => {
                    replay.finish(Some(*summary))?;
                    return match parts.next() {
                        None => Ok(()),
                        Some(_) => bail!("{name} is the last file of its recording: replay each recording by itself"),
                    };
                }
                Ok(Frame::Continued) => break,
                Ok(frame) => replay.take(frame)?,
                Err(error) => {
                    replay.finish(None)?;
                    return Err(error).context(name);
                }
            }
        }
    }
    // The rest is elsewhere.
    replay.map_or(Ok(()), |mut replay| replay.finish(None))
}

/// From frames to the output.
struct Replay {
    enricher: Enricher,
    showing: Showing<Admission>,
}

impl Replay {
    fn new(args: &ReplayArgs, preamble: &Preamble, mut output: Output) -> anyhow::Result<Self> {
        let symbols = Symbols::Recorded(HashMap::new());
        let kinds = if args.events.is_empty() { Kind::ALL.to_vec() } else { args.events.clone() };
        output.write(Item::Start(&preamble.run))?;
        let admission = Admission::new(args.filter.clone(), kinds.into_iter().collect());
        let mut showing = Showing::new(output, admission, Watch::since(preamble.attached_ns)).with_table();
        if !preamble.sees_sent {
            showing.diagnoser().misses_sent();
        }
        Ok(Self {
            enricher: Enricher::new(Clock::since(preamble.boot), symbols, HostFacts::recorded(), preamble.reasons()),
            showing,
        })
    }

    fn take(&mut self, frame: Frame) -> anyhow::Result<()> {
        match frame {
            Frame::Symbol(address, name) => self.enricher.symbols().add(address, name),
            Frame::Fact(Fact::Lost { mono_ns }) => self.showing.diagnoser().lose(mono_ns),
            Frame::Fact(Fact::Stopped { mono_ns }) => self.showing.diagnoser().stop(mono_ns),
            Frame::Fact(fact) => self.enricher.host_facts().learn(fact),
            Frame::Record(bytes) => match decode::decode(&bytes) {
                Ok(Decoded { record, also }) => {
                    if let Body::Process(process) = &record.body {
                        self.showing.admission.learn(process);
                    }
                    for record in [Some(record), also].into_iter().flatten() {
                        // What is not shown may be evidence all the same.
                        if let Some(event) = self.enricher.event(record) {
                            self.showing.push(event)?;
                        }
                    }
                }
                Err(error) => log::warn!("skipping malformed record: {error}"),
            },
            Frame::Loss(loss) => {
                self.showing.reach(loss.mono_ns)?;
                self.showing.output().write(Item::Loss(&loss))?;
            }
            Frame::Summary(_) | Frame::Continued => {}
        }
        Ok(())
    }

    /// Shows what waits, and the summary if the recording has one.
    fn finish(&mut self, summary: Option<Summary>) -> anyhow::Result<()> {
        self.showing.reach(u64::MAX)?;
        let table = self.showing.take_table();
        let output = self.showing.output();
        if let Some(summary) = summary {
            // The losses are the recording's; the counts are of what is shown.
            let causes = table.filter(|_| summary.causes.is_some()).map(Tally::rows);
            let counts = output.counts();
            output.write(Item::Summary(&Summary { counts, causes, ..summary }))?;
        }
        Ok(output.flush()?)
    }
}
