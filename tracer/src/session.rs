//! A run of the probes: attach, read events, detach, account for what was lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use tokio::io::{Interest, unix::AsyncFd};
use tracer_ebpf::record::{KIND_LOOKUP, KIND_RAW_SEND, KIND_RST, KIND_STATE};

use crate::{
    btf::{self, KernelBtf},
    cli::Cli,
    decode,
    enrich::{Enricher, clock::Clock, symbols::Symbols},
    event::{Body, Event},
    loader::{Probes, Settings, Watch},
    memory,
    probes::{Mechanism, Outcome, Probe},
    report::{Lost, RunInfo, Summary},
    source::Source,
};

/// Attached probes and the way from their records to events.
pub struct Session {
    probes: Probes,
    source: Source,
    enricher: Enricher,
    counts: BTreeMap<&'static str, u64>,
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
            netns_only,
            ring_bytes: cli.ring_bytes(),
            log: if cli.verbose { log::LevelFilter::Debug } else { log::LevelFilter::Off },
        };
        let mut probes = Probes::attach(&settings, &KernelBtf::load(Path::new(btf::VMLINUX))?)?;
        let source = Source::new(probes.take_ring()?, latency)?;
        if cli.verbose {
            forward_log(&mut probes)?;
        }
        let enricher = Enricher::new(Clock::now()?, Symbols::of_kernel(), std::mem::take(&mut probes.reasons));
        memory::give_back();
        let started = Instant::now();
        Ok(Self { probes, source, enricher, counts: BTreeMap::new(), undecodable: 0, started })
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

    /// The next event that is already there.
    pub fn next(&mut self) -> Option<Event> {
        loop {
            let record = {
                let bytes = self.source.next()?;
                decode::decode(&bytes)
            };
            match record {
                Ok(record) => {
                    let event = self.enricher.event(record);
                    self.count(&event);
                    return Some(event);
                }
                Err(error) => {
                    log::warn!("a record was skipped: {error}");
                    self.undecodable += 1;
                }
            }
        }
    }

    /// Counts an event that did not come from a record (a lookup run again) like the others.
    pub fn count(&mut self, event: &Event) {
        let kind = match event.body {
            Body::State(_) => "state",
            Body::Rst(_) => "rst",
            Body::Lookup(_) => "lookup",
            Body::RawSend(_) => "raw_send",
        };
        *self.counts.entry(kind).or_default() += 1;
    }

    /// How the events are observed.
    pub fn info(&self) -> RunInfo {
        RunInfo {
            version: env!("CARGO_PKG_VERSION"),
            kernel: kernel_release(),
            probes: mechanisms(&self.probes.outcomes),
            degraded: degraded(&self.probes),
        }
    }

    /// Whether the probes see the kernel's own lookups.
    pub fn observes_lookups(&self) -> bool {
        let observed = |wanted| {
            self.probes.outcomes.iter().any(|outcome| {
                let by_probe = outcome.chosen.as_ref().is_some_and(|(how, _)| *how != Mechanism::SockDiag);
                outcome.probe == wanted && by_probe
            })
        };
        observed(Probe::LookupEhash) && observed(Probe::LookupListener)
    }

    /// Detaches all probes. What they delivered before can still be read.
    pub fn detach(&mut self) {
        self.probes.detach();
    }

    /// Counts and losses so far.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub fn summary(&self) -> anyhow::Result<Summary> {
        let deliveries = self.probes.deliveries()?;
        let kinds = [(KIND_STATE, "state"), (KIND_RST, "rst"), (KIND_LOOKUP, "lookup"), (KIND_RAW_SEND, "raw_send")];
        let ring_buffer = kinds.map(|(kind, name)| (name, deliveries[usize::from(kind)].lost)).into();
        Ok(Summary {
            counts: self.counts.clone(),
            lost: Lost { ring_buffer, decode: self.undecodable },
            probes: mechanisms(&self.probes.outcomes),
            seconds: self.started.elapsed().as_secs_f64(),
            answer: Vec::new(),
        })
    }
}

/// The release of the running kernel.
pub fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_else(|_| "unknown".into())
}

fn mechanisms(outcomes: &[Outcome]) -> BTreeMap<&'static str, Option<Mechanism>> {
    let mechanism = |outcome: &Outcome| outcome.chosen.as_ref().map(|(mechanism, _)| *mechanism);
    outcomes.iter().map(|outcome| (outcome.probe.name(), mechanism(outcome))).collect()
}

fn degraded(probes: &Probes) -> Vec<String> {
    let by_outcome = probes
        .outcomes
        .iter()
        .flat_map(|outcome| outcome.degraded.iter().map(|what| format!("{}: {what}", outcome.probe.title())));
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
