//! Rounds: in each, every subject has its turn under the same load, so that noise hits all alike.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{
    bpf_stats::BpfStats,
    load::{Load, Workload},
    programs,
    running::{Ended, Running},
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
        for (ready, row) in subjects.iter().zip(&mut rows) {
            row.turn(ready, workload, settings).with_context(|| ready.subject.name)?;
        }
    }
    for round in 1..=settings.rounds.min(COST_ROUNDS) {
        eprintln!("{}: the kernel's account, round {round}", workload.name());
        for (ready, row) in subjects.iter().zip(&mut rows).filter(|(ready, _)| ready.subject.name != NONE) {
            row.cost(ready, workload, settings).with_context(|| ready.subject.name)?;
        }
    }
    Ok(rows)
}

impl Row {
    /// One round's turn: how fast the load is, and what the subject takes meanwhile.
    fn turn(&mut self, ready: &Ready, workload: Workload, settings: Settings) -> Result<()> {
        let mut load = Load::start(workload, settings.threads)?;
        let running = start(ready)?;
        load.run(settings.time / 10)?;
        self.rates.push(load.run(settings.time)?.rate());
        if let Some(running) = running {
            self.attach.push(running.attach.as_secs_f64());
            self.add(running.stop()?);
        }
        Ok(())
    }

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
        let Some(running) = start(ready)? else { return Ok(()) };
        load.run(settings.time / 10)?;
        let before = programs::of_process(running.pid())?;
        let done = load.run(settings.time)?;
        let runs = programs::of_process(running.pid())? - before;
        running.stop()?;
        self.kernel_ns.push(runs.nanoseconds as f64 / done.operations as f64);
        Ok(())
    }
}

fn start(ready: &Ready) -> Result<Option<Running>> {
    ready.command()?.map(|command| Running::start(ready.subject.program, command)).transpose()
}

/// As much as the machine makes, for a long time: does a subject keep up, and stay small?
pub(super) fn soak(ready: &Ready, workload: Workload, settings: Settings) -> Result<Option<Row>> {
    let mut load = Load::start(workload, settings.threads)?;
    let Some(running) = start(ready)? else { return Ok(None) };
    let attach = running.attach.as_secs_f64();
    let rate = load.run(settings.time)?.rate();
    let mut row = Row { subject: ready.subject.name, rates: vec![rate], attach: vec![attach], ..Row::default() };
    row.add(running.stop()?);
    Ok(Some(row))
}
