//! Rounds: in each, every subject has its turn under the same load, between two untraced ones.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{
    bpf_stats::BpfStats,
    load::{Load, Workload},
    paired::{Turn, Untraced},
    programs,
    running::{Ended, Running},
    stolen::Watch,
    subject::{NONE, Ready},
};

/// The kernel's account is taken apart from the rate, and needs fewer rounds: it knows no noise from waiting.
const COST_ROUNDS: u32 = 3;

/// What was measured of one subject under one load.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) subject: &'static str,
    /// Operations in a second, by round.
    pub(super) rates: Vec<f64>,
    /// Rates relative to the untraced turns right before and after, by round. Of `none`: to the turn before.
    pub(super) ratios: Vec<f64>,
    /// Turns that were thrown away because the processors were taken from the machine meanwhile.
    pub(super) thrown: usize,
    /// Turns that count though they were disturbed, because they were at each attempt.
    pub(super) disturbed: usize,
    /// Seconds from the start until it was attached, by round.
    pub(super) attach: Vec<f64>,
    /// Nanoseconds that its programs ran for each operation of the load, by round.
    pub(super) kernel_ns: Vec<f64>,
    /// Of all rounds together.
    pub(super) cpu: f64,
    pub(super) events: u64,
    pub(super) lost: u64,
    pub(super) peak_kib: u64,
    /// By what means it observed, of this tracer.
    pub(super) means: Option<String>,
}

/// How to measure.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub(super) rounds: u32,
    pub(super) time: Duration,
    pub(super) threads: usize,
}

/// Measures all subjects under one load.
pub(super) fn all(subjects: &[Ready], workload: Workload, settings: Settings) -> Result<Vec<Row>> {
    let new = |ready: &Ready| Row { subject: ready.subject.name, ..Row::default() };
    let mut rows: Vec<Row> = subjects.iter().map(new).collect();
    for round in 1..=settings.rounds {
        eprintln!("{}: round {round} of {}", workload.name(), settings.rounds);
        self::round(subjects, &mut rows, workload, settings)?;
    }
    for round in 1..=settings.rounds.min(COST_ROUNDS) {
        eprintln!("{}: the kernel's account, round {round}", workload.name());
        for (ready, row) in subjects.iter().zip(&mut rows).filter(|(ready, _)| ready.subject.name != NONE) {
            row.cost(ready, workload, settings).with_context(|| ready.subject.name)?;
        }
    }
    Ok(rows)
}

/// One turn of each subject.
fn round(subjects: &[Ready], rows: &mut [Row], workload: Workload, settings: Settings) -> Result<()> {
    let mut untraced = Untraced::begin(|| {
        let turn = turn(None, workload, settings).context(NONE)?;
        Ok(Turn { rate: turn.rate, stolen: turn.stolen, more: () })
    })?;
    for (ready, row) in subjects.iter().zip(&mut *rows).filter(|(ready, _)| ready.subject.name != NONE) {
        let paired = untraced.pair(|| turn(Some(ready), workload, settings));
        let paired = paired.with_context(|| ready.subject.name)?;
        row.rates.push(paired.turn.rate);
        row.ratios.push(paired.ratio);
        row.thrown += paired.thrown;
        row.disturbed += usize::from(paired.is_disturbed);
        if let Some((attach, ended)) = paired.turn.more {
            row.attach.push(attach.as_secs_f64());
            row.add(ended);
        }
    }
    if let Some(row) = rows.iter_mut().find(|row| row.subject == NONE) {
        row.rates.append(&mut untraced.rates);
        row.ratios.append(&mut untraced.ratios);
    }
    Ok(())
}

/// How fast the load is, and what the subject takes meanwhile: until it is attached, and in all.
fn turn(ready: Option<&Ready>, workload: Workload, settings: Settings) -> Result<Turn<Option<(Duration, Ended)>>> {
    let mut load = Load::start(workload, settings.threads)?;
    let running = ready.map(Running::of).transpose()?.flatten();
    load.run(settings.time / 10)?;
    let watch = Watch::start()?;
    let rate = load.run(settings.time)?.rate();
    let stolen = watch.part()?;
    let more = running.map(|running| Ok::<_, anyhow::Error>((running.attach, running.stop()?))).transpose()?;
    Ok(Turn { rate, stolen, more })
}

impl Row {
    fn add(&mut self, ended: Ended) {
        self.cpu += ended.cpu;
        self.events += ended.account.events;
        self.lost += ended.account.lost;
        self.peak_kib = self.peak_kib.max(ended.peak_kib);
        self.means = ended.means;
    }

    /// How long the subject's programs run.
    fn cost(&mut self, ready: &Ready, workload: Workload, settings: Settings) -> Result<()> {
        let _stats = BpfStats::enable()?;
        let mut load = Load::start(workload, settings.threads)?;
        let Some(running) = Running::of(ready)? else { return Ok(()) };
        load.run(settings.time / 10)?;
        let before = programs::of_process(running.pid())?;
        let done = load.run(settings.time)?;
        let runs = programs::of_process(running.pid())? - before;
        running.stop()?;
        self.kernel_ns.push(runs.nanoseconds as f64 / done.operations as f64);
        Ok(())
    }
}

/// As much as the machine makes, for a long time: does a subject keep up, and stay small?
pub(super) fn soak(ready: &Ready, workload: Workload, settings: Settings) -> Result<Option<Row>> {
    let mut load = Load::start(workload, settings.threads)?;
    let Some(running) = Running::of(ready)? else { return Ok(None) };
    let attach = running.attach.as_secs_f64();
    let rate = load.run(settings.time)?.rate();
    let mut row = Row { subject: ready.subject.name, rates: vec![rate], attach: vec![attach], ..Row::default() };
    row.add(running.stop()?);
    Ok(Some(row))
}
