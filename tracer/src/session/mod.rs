//! A run of the probes: attach, read events, detach, account for what was lost.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::io::{Interest, unix::AsyncFd};
use tracer_ebpf::record::{Delivery, KIND_END, KIND_PROCESS, KIND_QUEUE, KINDS};
use zerocopy::IntoBytes as _;

use crate::{
    cli::Detail,
    config::{Config, Rotation},
    event::{Body, Event, Flags, Kind, RstKind, TcpState},
    filter::Criteria,
    host::{
        clock::{Clock, mono_now},
        malloc,
    },
    kernel::{
        btf::KernelBtf,
        loader::{Listeners, Probes, Processes, Settings, Watch},
        preflight::Unmet,
        probes::{self, Probe},
        source::Source,
    },
    outlet::Outlet,
    pipeline::{
        decode::{self, Decoded},
        enrich::{
            self, Enricher,
            host_facts::{Fact, HostFacts},
            symbols::Symbols,
        },
    },
    recording::{self, Preamble},
    redact::{Key, Redact as _, Redactor, Secret},
    report::{Accounted, Counts, Loss, Lost, RunInfo, Summary},
};

pub mod info;
mod queues;
mod reader;
mod recorder;

use self::{queues::Queues, recorder::Recorder};

/// What a run is to report.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Kinds of events.
    pub kinds: BTreeSet<Kind>,
    /// What they must be about.
    pub criteria: Criteria,
    /// What else to find out about RSTs.
    pub detail: Detail,
    /// What to mask in events and in the recording.
    pub redact: BTreeSet<Secret>,
}

/// Attached probes and the way from their records to events.
pub struct Session {
    probes: Probes,
    listeners: Listeners,
    source: Source,
    clock: Clock,
    enricher: Enricher,
    redacted: BTreeSet<Secret>,
    recorder: Option<Recorder>,
    queues: Queues,
    /// Records that tell of a full queue, and events that were made of them.
    queues_seen: u64,
    queues_told: u64,
    /// What the last record told besides.
    also: Option<Event>,
    undecodable: u64,
    unremembered: Counts,
    watch: LossWatch,
    accounted: Accounted,
    /// Each RST that this host sends is reported.
    sees_sent: bool,
    /// Records that were known to be lost when that was asked last.
    lost: u64,
    started: Instant,
}

/// What was said of losses so far.
struct LossWatch {
    told: Lost,
    /// Up to when it was looked.
    until: Timestamp,
    looked: Instant,
}

/// How often losses are looked for.
const LOOK: Duration = Duration::from_secs(1);

impl Session {
    /// Attaches probes for what is wanted. An event is there at the latest `latency` after it happened.
    /// Needs a running tokio reactor.
    ///
    /// # Errors
    /// If the kernel lacks what everything rests on; see [`Probes::attach`].
    pub fn start(config: &Config, scope: Scope, latency: Duration) -> anyhow::Result<Self> {
        let Scope { kinds, criteria, detail, redact } = scope;
        let mut wanted = probes::needed(&kinds);
        if criteria.is_by_process() {
            wanted.insert(Probe::Descent);
        }
        if detail.baseline {
            wanted.insert(Probe::Baseline);
        }
        let is_whole = criteria.are_none() && kinds.contains(&Kind::Rst);
        let settings = Settings {
            probes: wanted,
            family: config.family,
            reported: Kind::reported(&kinds),
            criteria,
            stacks: detail.stacks,
            ring_bytes: config.ring_bytes,
            sockets: config.sockets,
            log: if config.verbose { log::LevelFilter::Debug } else { log::LevelFilter::Off },
        };
        let mut probes = Probes::attach(&settings, &KernelBtf::load(&config.btf)?)?;
        if !probes.outcomes.iter().any(|outcome| !outcome.probe.is_auxiliary() && outcome.is_observed()) {
            return Err(Unmet::NothingObserved(info::refusals(&probes.outcomes)).into());
        }
        let listeners = probes.take_listeners()?;
        let source = Source::new(probes.take_ring()?, latency)?;
        if config.verbose {
            forward_log(&mut probes)?;
        }
        let clock = Clock::now()?;
        let redactor = if redact.is_empty() { Redactor::of_nothing() } else { Redactor::new(&redact, Key::random()?) };
        let facts = HostFacts::of_host().redacted_by(redactor);
        let mut enricher = Enricher::new(clock, Symbols::of_kernel(), facts, probes.reasons.clone());
        enricher.host_facts().remember_processes();
        malloc::give_back();
        // Of other kinds no stack is taken.
        if [Kind::State, Kind::Rst, Kind::Stray].iter().any(|kind| kinds.contains(kind)) {
            enricher.symbols().read_ahead();
        }
        let sees = |probe| probes.outcomes.iter().any(|outcome| outcome.probe == probe && outcome.is_observed());
        let sees_sent = is_whole && sees(Probe::RstSentPassive) && sees(Probe::RstSentActive);
        let started = Instant::now();
        let watch = LossWatch { told: Lost::default(), until: clock.wall(mono_now()), looked: started };
        Ok(Self {
            probes,
            listeners,
            source,
            clock,
            enricher,
            redacted: redact,
            recorder: None,
            queues: Queues::default(),
            queues_seen: 0,
            queues_told: 0,
            also: None,
            undecodable: 0,
            unremembered: Counts::default(),
            watch,
            accounted: Accounted::default(),
            sees_sent,
            lost: 0,
            started,
        })
    }

    /// The set of watched namespaces, see [`Probes::take_watch`].
    ///
    /// # Errors
    /// If it was taken before or all are watched.
    pub fn take_watch(&mut self) -> anyhow::Result<Watch> {
        self.probes.take_watch()
    }

    /// The processes that are reported, see [`Probes::take_processes`].
    ///
    /// # Errors
    /// If they were taken before.
    pub fn take_processes(&mut self) -> anyhow::Result<Option<Processes>> {
        self.probes.take_processes()
    }

    /// Reads now what the kernel's functions are called, which is else done when the first stack comes.
    pub fn read_symbols(&mut self) {
        self.enricher.symbols().read();
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
    /// If that cannot be written.
    pub fn record(&mut self, file: Outlet, rotation: Rotation) -> anyhow::Result<()> {
        let preamble = Preamble {
            endian: recording::native_endian().to_owned(),
            boot: self.clock.boot(),
            reasons: self.probes.reasons.reset.clone(),
            drop_reasons: self.probes.reasons.drop.clone(),
            sees_sent: self.sees_sent,
            attached_ns: self.probes.attached_ns,
            run: self.info(),
        };
        self.recorder = Some(Recorder::new(file, preamble, rotation).context(CANNOT_RECORD)?);
        Ok(())
    }

    /// When all probes were attached.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Puts into the file what was recorded so far.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn flush_recording(&mut self) -> anyhow::Result<()> {
        self.recorder.as_mut().map_or(Ok(()), Recorder::flush).context(CANNOT_RECORD)
    }

    /// The next event that is already there.
    ///
    /// # Errors
    /// If it cannot be recorded.
    pub fn next_event(&mut self) -> anyhow::Result<Option<Event>> {
        let event = self.read_event()?;
        if let Some(event) = event.as_ref().filter(|event| event.unremembered) {
            self.unremembered.add(event.kind());
        }
        Ok(event)
    }

    fn read_event(&mut self) -> anyhow::Result<Option<Event>> {
        if let Some(event) = self.also.take() {
            return Ok(Some(event));
        }
        while let Some(bytes) = self.source.next_record() {
            let Some(masked) = self.enricher.host_facts().redactor().record(&bytes) else {
                log::warn!("skipping malformed record");
                self.undecodable += 1;
                continue;
            };
            match decode::decode(&masked) {
                Ok(Decoded { record, also }) => {
                    if let Some(recorder) = &mut self.recorder {
                        for &address in &record.stack {
                            let name = self.enricher.symbols().name(address);
                            recorder.symbol(address, &name).context(CANNOT_RECORD)?;
                        }
                    }
                    let is_of_queue = matches!(record.body, decode::Body::Queue(_));
                    let is_of_process = matches!(record.body, decode::Body::Process(_) | decode::Body::End(_));
                    if let decode::Body::Queue(queue) = &record.body {
                        self.queues.note(queue);
                    }
                    let mut event = self.enricher.event(record);
                    self.accounted.processes += u64::from(is_of_process);
                    self.accounted.not_tcp += u64::from(event.is_none() && !is_of_process && !is_of_queue);
                    self.queues_seen += u64::from(is_of_queue);
                    self.also = also.and_then(|record| self.enricher.event(record));
                    let mut learned = self.enricher.host_facts().take_learned();
                    let is_masked = matches!(masked, Cow::Owned(_));
                    let redactor = self.enricher.host_facts().redactor();
                    for event in event.iter_mut().chain(&mut self.also) {
                        let Some(ends) = true_ends(&bytes, is_masked, event) else { continue };
                        learned.extend(look_elsewhere(&mut self.listeners, event, ends, redactor));
                        learned.extend(look_for_reader(event, ends, redactor));
                    }
                    if let Some(recorder) = &mut self.recorder {
                        // What the record needs to be read comes before it.
                        learned.iter().try_for_each(|fact| recorder.fact(fact)).context(CANNOT_RECORD)?;
                        let recorded =
                            if is_of_process { recorder.record_of_process(&masked) } else { recorder.record(&masked) };
                        recorded.context(CANNOT_RECORD)?;
                    }
                    if let Some(event) = event {
                        return Ok(Some(event));
                    }
                }
                Err(error) => {
                    log::warn!("skipping malformed record: {error}");
                    self.undecodable += 1;
                }
            }
        }
        self.overflow()
    }

    /// An accept queue that was found full, by what the kernel counts.
    fn overflow(&mut self) -> anyhow::Result<Option<Event>> {
        let Some(queue) = self.queues.overflow(mono_now()) else { return Ok(None) };
        let event = self.enricher.event(decode::Body::Queue(queue).into());
        self.queues_told += 1;
        let learned = self.enricher.host_facts().take_learned();
        if let Some(recorder) = &mut self.recorder {
            learned.iter().try_for_each(|fact| recorder.fact(fact)).context(CANNOT_RECORD)?;
            recorder.record(queue.as_bytes()).context(CANNOT_RECORD)?;
        }
        Ok(event)
    }

    /// What became of the records that gave no event. What was not read until now never will be.
    pub fn account(&mut self) -> Accounted {
        self.accounted.cut_off += u64::from(self.also.take().is_some());
        while let Some(bytes) = self.source.next_record() {
            let is_two = decode::decode(&bytes).is_ok_and(|decoded| decoded.also.is_some());
            self.accounted.cut_off += 1 + u64::from(is_two);
        }
        Accounted { evidence: self.queues_seen, ..self.accounted }
    }

    /// How the events are observed.
    pub fn info(&self) -> RunInfo {
        info::of_run(&self.probes, &self.redacted)
    }

    /// What the probes see.
    pub fn observed(&self) -> BTreeSet<Probe> {
        self.probes.outcomes.iter().filter(|one| one.is_observed()).map(|one| one.probe).collect()
    }

    /// Each RST that this host sends is reported, unless it is lost.
    pub fn sees_sent(&self) -> bool {
        self.sees_sent
    }

    /// Whether records were lost since this was asked last, up to `now_ns` on `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read, or the recording cannot be written.
    pub fn has_lost(&mut self, now_ns: u64) -> anyhow::Result<bool> {
        let delivered = self.probes.deliveries()?.iter().map(|delivery| delivery.lost).sum::<u64>();
        let lost = delivered + self.undecodable;
        let has_lost = std::mem::replace(&mut self.lost, lost) != lost;
        if let Some(recorder) = self.recorder.as_mut().filter(|_| has_lost) {
            recorder.fact(&Fact::Lost { mono_ns: now_ns }).context(CANNOT_RECORD)?;
        }
        Ok(has_lost)
    }

    /// When all probes were attached, on `CLOCK_MONOTONIC` in nanoseconds.
    pub fn attached_ns(&self) -> u64 {
        self.probes.attached_ns
    }

    /// Notes in the recording that what happens from then on only explains what happened before.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn stop(&mut self, mono_ns: u64) -> anyhow::Result<()> {
        self.queues.stop(mono_ns.saturating_sub(1));
        match &mut self.recorder {
            Some(recorder) => recorder.fact(&Fact::Stopped { mono_ns }).context(CANNOT_RECORD),
            None => Ok(()),
        }
    }

    /// Detaches all probes. What they delivered before can still be read.
    pub fn detach(&mut self) {
        self.probes.detach();
    }

    /// What was lost since the last time that this told, if it is time to look again. `reached_ns`: `CLOCK_MONOTONIC`
    /// up to which all has been read, 0 if that is not known.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read, or it cannot be recorded.
    pub fn new_loss(&mut self, reached_ns: u64) -> anyhow::Result<Option<Loss>> {
        if self.watch.looked.elapsed() < LOOK { Ok(None) } else { self.last_loss(reached_ns) }
    }

    /// What was lost since the last report, however short ago that was.
    ///
    /// # Errors
    /// As [`Self::new_loss`].
    pub fn last_loss(&mut self, reached_ns: u64) -> anyhow::Result<Option<Loss>> {
        let all = self.lost(&self.probes.deliveries()?)?;
        let until = self.clock.wall(mono_now());
        let lost = all.since(&self.watch.told);
        let told = std::mem::replace(&mut self.watch, LossWatch { told: all, until, looked: Instant::now() });
        if lost == Lost::default() {
            return Ok(None);
        }
        let loss = Loss { time: until, since: told.until, mono_ns: reached_ns, lost };
        if let Some(recorder) = &mut self.recorder {
            recorder.loss(&loss).context(CANNOT_RECORD)?;
        }
        Ok(Some(loss))
    }

    fn lost(&self, deliveries: &[Delivery; KINDS]) -> anyhow::Result<Lost> {
        let undecided = self.probes.undecided()?;
        Ok(Lost {
            ring_buffer: by_kind(|kind| deliveries[kind].lost),
            decode: self.undecodable,
            skipped: self.probes.skipped()?,
            undecided: by_kind(|kind| undecided[kind]),
            memory: self.probes.without_room()?,
            unremembered: self.unremembered.clone().into(),
        })
    }

    /// Losses so far, and `counts` of what was shown.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub fn summary(&self, counts: BTreeMap<String, u64>) -> anyhow::Result<Summary> {
        let deliveries = self.probes.deliveries()?;
        Ok(Summary {
            counts,
            // Of queues what is shown is made of what the programs saw.
            submitted: by_kind(|kind| {
                deliveries[kind].submitted + if kind == usize::from(KIND_QUEUE) { self.queues_told } else { 0 }
            }),
            accounted: None,
            lost: self.lost(&deliveries)?,
            probes: info::mechanisms(&self.probes.outcomes),
            seconds: self.started.elapsed().as_secs_f64(),
            causes: None,
            unaccounted: Vec::new(),
            answer: Vec::new(),
        })
    }

    /// Ends the recording, if there is one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish_recording(&mut self, summary: &Summary) -> anyhow::Result<()> {
        let recorder = self.recorder.take();
        recorder.map_or(Ok(()), |recorder| recorder.into_writer().finish(summary)).context(CANNOT_RECORD)
    }
}

/// A count for each kind of records, by its name.
fn by_kind(count: impl Fn(usize) -> u64) -> BTreeMap<String, u64> {
    let kinds = Kind::ALL.map(|kind| (kind.name(), kind.of_record())).into_iter();
    let kinds = kinds.chain([("process", KIND_PROCESS), ("process_end", KIND_END)]);
    kinds.map(|(name, kind)| (name.to_owned(), count(kind.into()))).collect()
}

/// The ends of a connection, as this host has them.
type Ends = (SocketAddr, SocketAddr);

/// The ends that an event is about, of which it may have masked ones: its record has the true ones.
fn true_ends(record: &[u8], is_masked: bool, event: &Event) -> Option<Ends> {
    if is_masked { enrich::ends_of_record(record) } else { Some((event.local, event.remote)) }
}

/// Where a SYN was refused: who listens on that port, but elsewhere; or, of the RST that came for it, there.
fn look_elsewhere(
    listeners: &mut Listeners,
    event: &mut Event,
    (local, remote): Ends,
    redactor: &mut Redactor,
) -> Option<Fact> {
    let mono_ns = event.mono_ns;
    let Body::Rst(rst) = &mut event.body else { return None };
    let found = if rst.kind == RstKind::Peer && rst.socket_state == Some(TcpState::SYN_SENT) {
        listeners.at(remote, mono_ns)
    } else {
        let trigger = rst.trigger?;
        if rst.socket || trigger.flags.contains(Flags::ACK) || !trigger.flags.contains(Flags::SYN) {
            return None;
        }
        listeners.of_port(local.port(), mono_ns)
    };
    if found.is_empty() {
        return None;
    }
    let mut fact = Fact::Listeners { mono_ns, listeners: found };
    fact.redact(redactor);
    if let Fact::Listeners { listeners, .. } = &fact {
        rst.listeners.clone_from(listeners);
    }
    Some(fact)
}

/// Where a connection died with a closed window: who should have read.
fn look_for_reader(event: &mut Event, ends: Ends, redactor: &mut Redactor) -> Option<Fact> {
    let mut fact = Fact::Reader { mono_ns: event.mono_ns, reader: reader::of(event, ends)? };
    fact.redact(redactor);
    if let (Body::Close(close), Fact::Reader { reader, .. }) = (&mut event.body, &fact) {
        close.reader = Some(reader.clone());
    }
    Some(fact)
}

/// What was recorded can be replayed.
pub(crate) const CANNOT_RECORD: &str = "cannot write the recording";

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
