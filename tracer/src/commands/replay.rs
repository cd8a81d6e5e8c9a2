//! `tracer replay`: a recording through the same decode ... sink as a live run, on any machine, without
//! privileges.

use std::{
    collections::{BTreeSet, HashMap},
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
    event::{Event, Kind},
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
    redact::{Key, Redact as _, Redactor, Secret},
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
    let parts = files.into_iter().map(|(path, file)| (path.display().to_string(), BufReader::new(file)));
    show(parts, args, Key::random()?, output)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows a recording, wherever it is from: the files of one, in order, and what each is called. `key`: how
/// addresses are masked, if they are.
///
/// # Errors
/// As [`run`].
pub fn show<R: Read>(
    parts: impl IntoIterator<Item = (String, R)>,
    args: &ReplayArgs,
    key: Key,
    output: Output,
) -> anyhow::Result<()> {
    let mut replay = None;
    let mut unused = Some((output, key));
    let mut first = None;
    let mut parts = parts.into_iter();
    while let Some((name, part)) = parts.next() {
        let (mut reader, preamble) = Reader::new(part).with_context(|| name.clone())?;
        let run = (preamble.boot, preamble.attached_ns);
        if *first.get_or_insert(run) != run {
            bail!("{name} is of another recording: replay each recording by itself");
        }
        let replay = match (&mut replay, unused.take()) {
            (None, Some((output, key))) => replay.insert(Replay::new(args, preamble, key, output)?),
            (Some(replay), _) => replay,
            (None, None) => unreachable!("the first part takes the output"),
        };
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
    /// Of what is shown.
    enricher: Enricher,
    /// Of what was recorded, where that is not shown: filters ask for what is true.
    truth: Option<Enricher>,
    admission: Admission,
    showing: Showing,
}

impl Replay {
    fn new(args: &ReplayArgs, mut preamble: Preamble, key: Key, mut output: Output) -> anyhow::Result<Self> {
        let kinds = if args.events.is_empty() { Kind::ALL.to_vec() } else { args.events.clone() };
        let kinds = BTreeSet::from_iter(kinds);
        // What was masked when it was recorded stays as it is.
        let secrets: BTreeSet<Secret> = args.redact.secrets().difference(&preamble.run.redacted).copied().collect();
        let mut redactor = Redactor::new(&secrets, key);
        preamble.redact(&mut redactor);
        let enricher = |redactor| {
            let (symbols, facts) = (Symbols::Recorded(HashMap::new()), HostFacts::recorded().redacted_by(redactor));
            Enricher::new(Clock::since(preamble.boot), symbols, facts, preamble.reasons())
        };
        let truth = redactor.is_active().then(|| enricher(Redactor::of_nothing()));
        let enricher = enricher(redactor);
        preamble.run.redacted.extend(secrets);
        output.write(Item::Start(&preamble.run))?;
        let mut showing = Showing::new(output, kinds.clone(), Watch::since(preamble.attached_ns)).with_table();
        if !preamble.sees_sent {
            showing.diagnoser().misses_sent();
        }
        Ok(Self { enricher, truth, admission: Admission::new(args.filter.clone(), kinds), showing })
    }

    /// The next frame, as it is in the file.
    fn take(&mut self, mut frame: Frame) -> anyhow::Result<()> {
        let mut truth = None;
        if let Some(enricher) = &mut self.truth {
            truth = Some(read(enricher, &mut self.admission, &frame));
            frame.redact(self.enricher.host_facts().redactor());
        }
        match &frame {
            Frame::Fact(Fact::Lost { mono_ns }) => self.showing.diagnoser().lose(*mono_ns),
            Frame::Fact(Fact::Stopped { mono_ns }) => self.showing.diagnoser().stop(*mono_ns),
            Frame::Loss(loss) => {
                self.showing.reach(loss.mono_ns)?;
                self.showing.output().write(Item::Loss(loss))?;
            }
            Frame::Symbol(..) | Frame::Fact(_) | Frame::Record(_) | Frame::Summary(_) | Frame::Continued => {}
        }
        let shown = read(&mut self.enricher, &mut self.admission, &frame);
        // There are as many events of a record however it is masked.
        for (number, event) in shown.into_iter().enumerate() {
            let Some(mut event) = event else { continue };
            let asked = truth.as_ref().map_or(Some(&event), |truth| truth[number].as_ref());
            event.filtered_out = !asked.is_some_and(|event| self.admission.admits(event));
            // What is not shown may be evidence all the same.
            self.showing.push(event)?;
        }
        Ok(())
    }

    /// Shows what waits, and the summary if the recording has one.
    fn finish(&mut self, summary: Option<Summary>) -> anyhow::Result<()> {
        self.showing.reach(u64::MAX)?;
        let table = self.showing.take_table();
        let output = self.showing.output();
        if let Some(mut summary) = summary {
            summary.redact(self.enricher.host_facts().redactor());
            // The losses are the recording's; the counts are of what is shown.
            let causes = table.filter(|_| summary.causes.is_some()).map(Tally::rows);
            let counts = output.counts();
            output.write(Item::Summary(&Summary { counts, causes, ..summary }))?;
        }
        Ok(output.flush()?)
    }
}

/// What a frame tells: events, or what later ones need.
fn read(enricher: &mut Enricher, admission: &mut Admission, frame: &Frame) -> [Option<Event>; 2] {
    match frame {
        Frame::Symbol(address, name) => enricher.symbols().add(*address, name.clone()),
        Frame::Fact(fact) => enricher.host_facts().learn(fact.clone()),
        Frame::Record(bytes) => match decode::decode(bytes) {
            Ok(Decoded { record, also }) => {
                if let Body::Process(process) = &record.body {
                    admission.learn(process);
                }
                return [Some(record), also].map(|record| enricher.event(record?));
            }
            // Masked, it has no bytes at all, and was told before.
            Err(_) if bytes.is_empty() => {}
            Err(error) => log::warn!("skipping malformed record: {error}"),
        },
        Frame::Loss(_) | Frame::Summary(_) | Frame::Continued => {}
    }
    [None, None]
}
