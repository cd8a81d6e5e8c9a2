//! `tracer demo`: plays the scenarios one after another and shows what the probes see of them.

use std::{
    collections::BTreeSet,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};

use crate::{
    cli::{DemoArgs, Detail},
    commands::output::{Output, OutputArgs},
    event::{Event, Family, Kind},
    filter::Criteria,
    kernel::{
        loader::Watch,
        preflight::{self, Purpose},
        probes::Probe,
    },
    report::ScenarioReport,
    session::{Scope, Session},
    sink::{Item, text::TextStyle},
};
use crate::{
    config::Config,
    confine,
    demo::{
        feed::Feed,
        recorder::Recorder,
        scenario::Scenario,
        scenarios,
        stage::{Settings, Stage},
        summary,
    },
    testbed::capture::Capture,
};

/// How long a record may wait: scenarios wait for what the probes report.
const LATENCY: Duration = Duration::from_millis(1);
/// Longest time for one scenario; all together take about a second, where there is a processor for them.
const WITHIN: Duration = Duration::from_secs(15);

/// Runs the command.
///
/// # Errors
/// If the probes cannot be attached or the output fails. A scenario that goes wrong is no error but is
/// reported, and the exit code says so.
pub fn run(config: &Config, args: &DemoArgs) -> anyhow::Result<ExitCode> {
    preflight::check(Purpose::Demo)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(demo(config, args))
}

async fn demo(config: &Config, args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let mut recorder = args.pcap.as_deref().map(|path| Recorder::create(path, config.force)).transpose()?;
    // The capture may be in another user's directory.
    confine::demo();
    // What opens and closes is in the state changes too, which the scenarios are about.
    let kinds = BTreeSet::from([Kind::State, Kind::Rst, Kind::Lookup, Kind::Raw]);
    let detail = Detail { baseline: false, stacks: true };
    let scope = Scope { kinds, criteria: Criteria::of_no_netns(), detail, redact: BTreeSet::new() };
    let mut session = Session::start(config, scope, LATENCY)?;
    // It takes longer than a scenario, and would be done in the midst of the first one with a RST.
    session.read_symbols();
    let theatre = Theatre {
        watch: Arc::new(Mutex::new(session.take_watch()?)),
        observed: session.observed(),
        capture: recorder.is_some(),
    };
    let mut output = Output::new(&OutputArgs { format: args.format.format(), style: TextStyle::Demo, file: None })?;
    output.write(Item::Start(&session.info()))?;

    let mut reports = Vec::new();
    for family in args.families() {
        for scenario in scenarios::ALL.into_iter().filter(|scenario| is_wanted(*scenario, &args.scenarios)) {
            let (report, captures) = theatre.perform(scenario, family, &mut session, &mut output).await?;
            if let Some(recorder) = &mut recorder {
                recorder.write(scenario.name(), &captures)?;
            }
            reports.push(report);
        }
    }
    if let Some(recorder) = recorder {
        recorder.finish()?;
    }

    session.detach();
    let mut summary = session.summary(output.counts())?;
    summary.answer = summary::summary_lines(&reports);
    output.write(Item::Summary(&summary))?;
    output.flush()?;
    Ok(if reports.iter().all(|report| report.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_wanted(scenario: &dyn Scenario, names: &[String]) -> bool {
    names.is_empty() || names.iter().any(|name| name == scenario.name())
}

/// What all scenarios are played with.
struct Theatre {
    watch: Arc<Mutex<Watch>>,
    observed: BTreeSet<Probe>,
    capture: bool,
}

impl Theatre {
    /// Plays one scenario on a thread of its own and shows its events as they come.
    async fn perform(
        &self,
        scenario: &'static dyn Scenario,
        family: Family,
        session: &mut Session,
        output: &mut Output,
    ) -> anyhow::Result<(ScenarioReport, Vec<Capture>)> {
        output.write(Item::Scenario(scenario.name(), scenario.title(), family))?;
        output.flush()?;
        let feed = Feed::default();
        let (publish, mut published) = mpsc::unbounded_channel();
        let stage = self.stage(scenario, family, feed.clone(), publish);
        let (finish, mut finished) = oneshot::channel();
        let actor = thread::Builder::new().name(scenario.name().to_owned()).spawn(move || {
            let report = scenario.perform(&stage);
            // A receiver that is gone has failed to write output, and says so itself.
            let _ = finish.send((report, stage.captures()));
        })?;
        let finale = loop {
            let finale = tokio::select! {
                finale = &mut finished => Some(finale.context("the scenario's thread has panicked")?),
                ready = session.ready() => { ready?; None }
            };
            let mut published = std::iter::from_fn(|| published.try_recv().ok());
            show(scenario, || session.next_event(), &mut published, &feed, output)?;
            if let Some(finale) = finale {
                break finale;
            }
        };
        // It has nothing left to do but to return.
        let _ = actor.join();
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).clear()?;
        // From here on no namespace is reported; what the hosts' end still led to belongs here.
        show(scenario, || session.next_event(), &mut std::iter::empty(), &feed, output)?;
        let (report, captures) = finale;
        output.write(Item::Report(&report, family))?;
        output.flush()?;
        Ok((report, captures?))
    }

    fn stage(
        &self,
        scenario: &dyn Scenario,
        family: Family,
        feed: Feed,
        publish: mpsc::UnboundedSender<Event>,
    ) -> Stage {
        let watch = Arc::clone(&self.watch);
        Stage::new(Settings {
            scenario: scenario.name(),
            family,
            feed,
            watch: Box::new(move |netns| watch.lock().unwrap_or_else(PoisonError::into_inner).add(netns)),
            publish: Box::new(move |event| {
                // As above: nobody is left to show it to.
                let _ = publish.send(event);
            }),
            observed: self.observed.clone(),
            capture: self.capture,
            within: WITHIN,
        })
    }
}

/// Shows what the probes delivered and the scenario published since, in the order of its time.
fn show(
    scenario: &dyn Scenario,
    mut next_event: impl FnMut() -> anyhow::Result<Option<Event>>,
    published: &mut dyn Iterator<Item = Event>,
    feed: &Feed,
    output: &mut Output,
) -> anyhow::Result<()> {
    // Before the first look: what happens from now on may be missed by this one.
    let mark = Instant::now();
    let mut events = Vec::new();
    while let Some(event) = next_event()? {
        events.push(event);
    }
    events.extend(published);
    events.sort_by_key(|event| event.mono_ns);
    for mut event in events {
        event.scenario = Some(scenario.name());
        output.write(Item::Event(&event))?;
        feed.push(event);
    }
    feed.is_complete_until(mark);
    output.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::demo::scenarios::tests::{CLIENT, Seen, segment};
    use crate::event::Flags;

    #[test]
    fn what_happens_while_the_reader_reads_is_not_taken_for_read() {
        let mut seen = Seen::default();
        seen.raw_send(CLIENT, segment(Flags::SYN, 1, 0));
        let (mut events, feed) = (seen.events.into_iter(), Feed::default());
        let file = Some(Path::new("/dev/null"));
        let mut output =
            Output::new(&OutputArgs { format: crate::sink::format::Format::Json, style: TextStyle::Demo, file })
                .unwrap();
        let mut first_look = None;
        let next_event = || {
            first_look.get_or_insert_with(Instant::now);
            Ok(events.next())
        };
        show(scenarios::ALL[0], next_event, &mut std::iter::empty(), &feed, &mut output).unwrap();
        assert_eq!(feed.events().len(), 1);
        assert!(feed.complete_until() <= first_look && feed.complete_until().is_some());
    }
}
