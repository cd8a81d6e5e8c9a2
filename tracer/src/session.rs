//! A run of the probes: attach, read events, detach, account for what was lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::io::{Interest, unix::AsyncFd};
use tracer_ebpf::record::{KIND_LOOKUP, KIND_RAW_SEND, KIND_RST, KIND_STATE};

use crate::{
    btf::KernelBtf,
    cli::Cli,
    decode::{self, Record},
    enrich::{Enricher, clock::Clock, symbols::Symbols},
    event::{Body, Event},
    loader::{Probes, Settings, Watch},
    memory,
    preflight::Unmet,
    probes::{Mechanism, Outcome, Probe},
    recording::{self, Preamble, Writer},
    report::{Lost, RunInfo, Summary},
    source::Source,
};

/// Attached probes and the way from their records to events.
pub struct Session {
    probes: Probes,
    source: Source,
    clock: Clock,
    enricher: Enricher,
    recorder: Option<Writer<BufWriter<File>>>,
    counts: Counts,
    undecodable: u64,
    started: Instant,
}

impl Session {
    /// Attaches probes for what is `wanted`; with `netns_only` nothing is reported until a namespace is
    /// watched. An event is there at the latest `latency` after it happened. Needs a running tokio reactor.
    ///
    /// # Errors
    /// If the kernel lacks what everything rests on; see [`Probes::attach`].
    pub fn start(cli: &Cli, wanted: BTreeSet<Probe>, netns_only: bool, latency: Duration) -> anyhow::Result<Self> {
        let settings = Settings {
            probes: wanted,
            column: cli.probes,
            netns_only,
            ring_bytes: cli.ring_bytes(),
            log: if cli.verbose { log::LevelFilter::Debug } else { log::LevelFilter::Off },
        };
        let mut probes = Probes::attach(&settings, &KernelBtf::load(&cli.btf)?)?;
        if !probes.outcomes.iter().any(Outcome::is_observed) {
            return Err(Unmet::NothingObserved(refusals(&probes.outcomes)).into());
        }
        let source = Source::new(probes.take_ring()?, latency)?;
        if cli.verbose {
            forward_log(&mut probes)?;
        }
        let clock = Clock::now()?;
        let enricher = Enricher::new(clock, Symbols::of_kernel(), probes.reasons.clone());
        memory::give_back();
        let started = Instant::now();
        Ok(Self { probes, source, clock, enricher, recorder: None, counts: Counts::default(), undecodable: 0, started })
    }

    /// The set of watched namespaces, see [`Probes::take_watch`].
    ///
    /// # Errors
    /// If it was taken before or all are watched.
    pub fn take_watch(&mut self) -> anyhow::Result<Watch> {
        self.probes.take_watch()
    }

    /// Waits until there may be events, at most for the latency.
    ///
    /// # Errors
    /// If polling fails.
    pub async fn ready(&mut self) -> std::io::Result<()> {
        self.source.ready().await
    }

    /// Writes all records from now on to a file too.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn record(&mut self, path: &Path) -> anyhow::Result<()> {
        let cannot = || format!("cannot record to {}", path.display());
        let file = BufWriter::new(File::create(path).with_context(cannot)?);
        let preamble = Preamble {
            endian: recording::native_endian().to_owned(),
            boot: self.clock.boot(),
            reasons: self.probes.reasons.clone(),
            run: self.info(),
        };
        self.recorder = Some(Writer::new(file, &preamble).with_context(cannot)?);
        Ok(())
    }

    /// The next event that is already there.
    ///
    /// # Errors
    /// If it cannot be recorded.
    pub fn next_event(&mut self) -> anyhow::Result<Option<Event>> {
        while let Some(bytes) = self.source.next_record() {
            match decode::decode(&bytes) {
                Ok(record) => {
                    if let Some(recorder) = &mut self.recorder {
                        record_one(recorder, &bytes, &record, self.enricher.symbols()).context(CANNOT_RECORD)?;
                    }
                    let event = self.enricher.event(record);
                    self.counts.add(&event);
                    return Ok(Some(event));
                }
                Err(error) => {
                    log::warn!("a record was skipped: {error}");
                    self.undecodable += 1;
                }
            }
        }
        Ok(None)
    }

    /// Counts an event that did not come from a record (a lookup run again) like the others.
    pub fn count(&mut self, event: &Event) {
        self.counts.add(event);
    }

    /// How the events are observed.
    pub fn info(&self) -> RunInfo {
        RunInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: kernel_release(),
            probes: mechanisms(&self.probes.outcomes),
            degraded: degraded(&self.probes),
        }
    }

    /// Whether the probes see the kernel's own lookups.
    pub fn observes_lookups(&self) -> bool {
        let observed = |wanted| self.probes.outcomes.iter().any(|one| one.probe == wanted && one.is_observed());
        observed(Probe::LookupEhash) && observed(Probe::LookupListener)
    }

    /// Detaches all probes. What they delivered before can still be read.
    pub fn detach(&mut self) {
        self.probes.detach();
    }

    /// Counts and losses so far; ends the recording, if there is one.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read or the recording cannot be ended.
    pub fn summary(&mut self) -> anyhow::Result<Summary> {
        let deliveries = self.probes.deliveries()?;
        let kinds = [(KIND_STATE, "state"), (KIND_RST, "rst"), (KIND_LOOKUP, "lookup"), (KIND_RAW_SEND, "raw_send")];
        let lost = kinds.map(|(kind, name)| (name.to_owned(), deliveries[usize::from(kind)].lost));
        let summary = Summary {
            counts: self.counts.clone().into(),
            lost: Lost { ring_buffer: lost.into(), decode: self.undecodable },
            probes: mechanisms(&self.probes.outcomes),
            seconds: self.started.elapsed().as_secs_f64(),
            answer: Vec::new(),
        };
        if let Some(recorder) = self.recorder.take() {
            recorder.finish(&summary).context(CANNOT_RECORD)?;
        }
        Ok(summary)
    }
}

const CANNOT_RECORD: &str = "cannot write the recording";

/// Events by kind.
#[derive(Debug, Clone, Default)]
pub struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// Counts an event.
    pub fn add(&mut self, event: &Event) {
        let kind = match event.body {
            Body::State(_) => "state",
            Body::Rst(_) => "rst",
            Body::Lookup(_) => "lookup",
            Body::RawSend(_) => "raw_send",
        };
        *self.0.entry(kind).or_default() += 1;
    }
}

impl From<Counts> for BTreeMap<String, u64> {
    fn from(Counts(counts): Counts) -> Self {
        counts.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
    }
}

fn record_one(
    recorder: &mut Writer<impl Write>,
    bytes: &[u8],
    record: &Record,
    symbols: &Symbols,
) -> std::io::Result<()> {
    for &address in &record.stack {
        recorder.symbol(address, &symbols.name(address))?;
    }
    recorder.record(bytes)
}

/// The release of the running kernel.
pub fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_else(|_| "unknown".into())
}

/// What was tried in vain, for a run that sees nothing at all.
fn refusals(outcomes: &[Outcome]) -> String {
    let of_one = |outcome: &Outcome| {
        let tried = outcome.refused.iter().map(|(mechanism, reason)| format!("{mechanism}: {reason}"));
        let tried = tried.collect::<Vec<_>>().join(", ");
        format!("{} ({})", outcome.probe.title(), if tried.is_empty() { "no way known" } else { &tried })
    };
    outcomes.iter().map(of_one).collect::<Vec<_>>().join("; ")
}

fn mechanisms(outcomes: &[Outcome]) -> BTreeMap<String, Option<Mechanism>> {
    let mechanism = |outcome: &Outcome| outcome.chosen.as_ref().map(|(mechanism, _)| *mechanism);
    outcomes.iter().map(|outcome| (outcome.probe.name().to_owned(), mechanism(outcome))).collect()
}

fn degraded(probes: &Probes) -> Vec<String> {
    let by_outcome = probes
        .outcomes
        .iter()
        .flat_map(|outcome| outcome.degraded().into_iter().map(|what| format!("{}: {what}", outcome.probe.title())));
    by_outcome.chain(probes.missing_fields.iter().cloned()).collect()
}

/// Passes the programs' log on to ours, in the background.
fn forward_log(probes: &mut Probes) -> anyhow::Result<()> {
    // SAFETY: the logger owns its ring buffer's descriptor as long as it lives.
    let logger = unsafe { AsyncFd::register_with_interest(probes.logger()?, Interest::READABLE) };
    let mut logger = logger.map_err(std::io::Error::from)?;
    tokio::spawn(async move {
        while let Ok(mut guard) = logger.readable_mut().await {
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
    });
    Ok(())
}
