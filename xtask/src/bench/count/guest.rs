//! The part of the counted bench that runs in the virtual machine: one load, with each subject in turn.

use std::{
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::builder::PossibleValuesParser;

use super::sample::Sample;
use crate::bench::{
    load::{Load, Order, Workload},
    process,
    running::Running,
    subject::{self, Ready, Subject},
};

/// Where the host has put the tracer.
const TRACER: &str = "/bin/tracer";

/// A reader that computes less than this part of [`LOOK`] is idle: it looks for records now and then, whether there are
/// any or not.
const IDLE_PART: u32 = 50;
/// No reader waits longer than this before it looks again. Time in which nobody computes takes none of the host's.
const LOOK: Duration = Duration::from_millis(250);
/// For a reader that is behind.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(value_parser = Workload::named)]
    workload: Workload,
    #[arg(required = true, value_parser = PossibleValuesParser::new(subject::ALL.iter().map(|it| it.name)))]
    subjects: Vec<String>,
}

/// Prints a line for each subject.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    for name in &args.subjects {
        let subject = subject::ALL.iter().find(|it| it.name == name).context("there is no such subject")?;
        let sample = count(subject, args.workload).with_context(|| format!("{}: {name}", args.workload.name()))?;
        println!("{}", sample.to_line()?);
    }
    Ok(ExitCode::SUCCESS)
}

fn count(subject: &'static Subject, workload: Workload) -> Result<Sample> {
    let ready = Ready::provide(subject, Path::new(TRACER)).context("the machine has been made without it")?;
    let mut load = Load::start(workload, 1)?;
    let running = Running::of(&ready)?;
    let reader = running.as_ref().map(Running::pid);
    let idle = || reader.map(when_idle).transpose();
    let count = operations(workload);
    // What happens at the first operation, and what fills the kernel's caches, does not count. Each is over before the
    // next begins: a reader that is busy with the first would lose some of the others.
    for warm_up in [1, count / 4] {
        load.order(Order::Times { count: warm_up, bystander: None })?;
        idle()?;
    }
    let done = load.order(Order::Times { count, bystander: reader })?;
    let (reader_meanwhile, reader_after) = match (done.bystander, idle()?) {
        (Some(reader), Some(in_the_end)) => (reader.after - reader.before, in_the_end.saturating_sub(reader.after)),
        _ => (0, 0),
    };
    let ended = running.map(Running::stop).transpose()?;
    let account = ended.as_ref().map(|it| it.account).unwrap_or_default();
    Ok(Sample {
        workload: workload.name().to_owned(),
        subject: subject.name.to_owned(),
        operations: done.operations,
        elapsed: done.nanoseconds,
        reader_meanwhile,
        reader_after,
        events: account.events,
        lost: account.lost,
        means: ended.and_then(|it| it.means),
    })
}

/// So many that the reader has many turns, and so few that an emulated processor is done in a second or two.
fn operations(workload: Workload) -> u64 {
    match workload {
        Workload::ChurnRst | Workload::ChurnFin => 2000,
        Workload::Refused | Workload::Exchange => 4000,
        Workload::Bulk => 500,
    }
}

/// Waits until the reader has nothing left to do. The result is what it had computed by then.
fn when_idle(reader: u32) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    let mut before = process::computed(reader)?;
    while Instant::now() < deadline {
        thread::sleep(LOOK);
        let after = process::computed(reader)?;
        if Duration::from_nanos(after - before) < LOOK / IDLE_PART {
            return Ok(before);
        }
        before = after;
    }
    bail!("its reader has still not read all after {PATIENCE:?}")
}
