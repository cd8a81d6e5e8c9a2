//! The machines: one for each load in each round, as many at a time as there are processors.

use std::{
    iter,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::sample::Sample;
use crate::{
    bench::{
        load::Workload,
        subject::{Program, Subject},
    },
    vm::{Guest, Options},
    workspace::Workspace,
};

/// Seconds for a machine: an emulated processor that has half a real one takes a minute.
const TIMEOUT: u64 = 900;

/// What it takes to count.
pub(super) struct Machines {
    guest: Guest,
    /// The subjects whose programs are there to be run.
    subjects: Vec<&'static Subject>,
}

/// All subjects under one load.
pub(super) struct Counted {
    pub(super) workload: Workload,
    /// In the order of their turns; of each, a sample for each round.
    pub(super) subjects: Vec<Vec<Sample>>,
}

impl Machines {
    /// Finds, fetches or installs what it takes; leaves out, having said why, the tools that are not there.
    pub(super) fn provide(
        workspace: &Workspace,
        kernel: &str,
        tracer: &Path,
        subjects: &[&'static Subject],
    ) -> Result<Self> {
        let mut programs = vec![("tracer".to_owned(), tracer.to_owned())];
        let mut there = Vec::new();
        for subject in subjects {
            if let Program::Peer(peer) = subject.program {
                let Some(path) = peer.provide() else { continue };
                programs.push((peer.name().to_owned(), path));
            }
            there.push(*subject);
        }
        Ok(Self { guest: Guest::provide(workspace, kernel, programs)?, subjects: there })
    }

    /// The kernel's release.
    pub(super) fn release(&self) -> String {
        self.guest.release()
    }

    /// What the numbers are of.
    pub(super) fn in_words(&self) -> String {
        format!("Linux {} on one emulated processor, whose clock counts instructions", self.release())
    }

    /// Runs all loads in so many rounds, each with other random numbers.
    pub(super) fn count(&self, workloads: &[Workload], rounds: u32) -> Result<Vec<Counted>> {
        let turns = (1..=rounds).flat_map(|round| iter::repeat(round).zip(workloads));
        let turns: Vec<(u32, Workload)> = turns.map(|(round, workload)| (round, *workload)).collect();
        let samples = all_at_once(&turns, |(round, workload)| {
            self.boot(*workload, *round).with_context(|| format!("{}, round {round}", workload.name()))
        })?;
        let samples: Vec<Sample> = samples.into_iter().flatten().collect();
        let counted = workloads.iter().map(|workload| Counted {
            workload: *workload,
            subjects: self.subjects.iter().map(|subject| of(&samples, *workload, subject.name)).collect(),
        });
        Ok(counted.collect())
    }

    /// One load with each subject, in a new machine.
    fn boot(&self, workload: Workload, round: u32) -> Result<Vec<Sample>> {
        eprintln!("{}: round {round}", workload.name());
        let names = self.subjects.iter().map(|subject| subject.name);
        let command = ["/init", "bench-counted", workload.name()].into_iter().chain(names).map(str::to_owned);
        let mut samples = Vec::new();
        let mut said = Vec::new();
        // What is random differs from round to round, and is the same in each run of a round.
        let status =
            self.guest.run(
                command.collect(),
                &Options::counting(round, TIMEOUT),
                &mut |line| match Sample::parse(line) {
                    Some(sample) => samples.push(sample),
                    None => said.push(line.to_owned()),
                },
            )?;
        let samples = samples.into_iter().collect::<Result<Vec<_>>>()?;
        if status != 0 || samples.len() != self.subjects.len() {
            bail!("the guest has counted {} of {} subjects: {}", samples.len(), self.subjects.len(), said.join("\n"));
        }
        Ok(samples)
    }
}

fn of(samples: &[Sample], workload: Workload, subject: &str) -> Vec<Sample> {
    let is_meant = |sample: &&Sample| sample.workload == workload.name() && sample.subject == subject;
    samples.iter().filter(is_meant).cloned().collect()
}

/// Does all the work, as many pieces at a time as there are processors; what came of each, in the order of the pieces.
fn all_at_once<T: Sync, R: Send>(pieces: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<R>>>> = pieces.iter().map(|_| Mutex::new(None)).collect();
    let worker = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(at) else { break };
            let result = work(piece);
            if result.is_err() {
                // The others are of no use without this one.
                next.store(pieces.len(), Ordering::Relaxed);
            }
            *results[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    let workers = thread::available_parallelism().map_or(1, Into::into).min(pieces.len());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(worker);
        }
    });
    let results = results.into_iter().filter_map(|it| it.into_inner().unwrap_or_else(PoisonError::into_inner));
    let results = results.collect::<Result<Vec<R>>>()?;
    if results.len() != pieces.len() {
        return Err(anyhow!("a machine's thread panicked"));
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work() -> Result<()> {
        assert_eq!(all_at_once(&[1, 2, 3, 4, 5], |it| Ok(it * it))?, [1, 4, 9, 16, 25]);
        let failed = all_at_once(&[1, 2, 3], |it| if *it == 2 { bail!("two") } else { Ok(*it) });
        assert_eq!(failed.unwrap_err().to_string(), "two");
        assert!(all_at_once(&[], |it: &u32| Ok(*it))?.is_empty());
        Ok(())
    }
}
