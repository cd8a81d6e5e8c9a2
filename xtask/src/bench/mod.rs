//! `bench`: what tracing costs, beside what other tools cost in the same run.
//!
//! A load runs with each subject in turn: nothing, this tracer in several ways, other tools. What counts is
//! the ratio to the untraced turns right before and after; absolute numbers are the machine's. [`mod@count`]
//! measures without a clock. Everything that is made for a run ends with
//! this process, whatever ends it: the load's namespace and the subjects are its children's and die with it,
//! files have no names, and the kernel's account of programs hangs on a descriptor.

mod bpf;
mod bpf_stats;
pub(crate) mod count;
pub(crate) mod empty;
pub(crate) mod load;
mod machine;
mod measure;
mod paired;
mod peers;
mod process;
mod programs;
mod report;
mod running;
mod said;
mod stats;
mod stolen;
mod subject;
mod table;

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};

use self::{
    load::Workload,
    machine::Machine,
    measure::Settings,
    report::{LEGEND, Results},
    subject::{NONE, Ready, Subject},
};
use crate::{
    build::{self, Profile},
    privilege,
    workspace::Workspace,
};

/// Of the wall-clock bench, if none are told.
const ROUNDS: u32 = 10;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds, in each of which every subject has its turn [default: 10; with --count 1]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// How long the load runs in each turn
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// Only these workloads and subjects (`none` is always there)
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',',
        value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,
    /// Threads that make the load [default: 1; with --soak as many as there are processors]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Instead: the highest churn that this machine makes, for so long, and does anything get lost
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    soak: Option<Duration>,
    /// Also write the results to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure this tracer instead of building one
    #[arg(long, value_name = "PATH")]
    tracer: Option<PathBuf>,
    #[command(flatten)]
    counting: count::Options,
}

pub(crate) fn main(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let tracer = match &args.tracer {
        Some(path) => path.clone(),
        None => build::tracer(workspace, Profile::Release)?,
    };
    if args.counting.count {
        return count(workspace, args, &tracer);
    }
    if !privilege::is_root() {
        return as_root(&tracer, args);
    }
    let machine = Machine::this()?;
    println!("{}", machine.in_words());
    let results = match args.soak {
        Some(time) => soak(args, &tracer, time, &machine)?,
        None => compare(args, &tracer, &machine)?,
    };
    println!("{LEGEND}");
    let workloads: Vec<_> = results.iter().map(Results::to_json).collect();
    keep(args, &json!({ "machine": machine.to_json(), "workloads": workloads }))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the results where --json says.
fn keep(args: &Args, results: &Value) -> Result<()> {
    let Some(path) = &args.json else { return Ok(()) };
    let text = serde_json::to_string_pretty(results)?;
    fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

/// Needs no root: the guest is its own.
fn count(workspace: &Workspace, args: &Args, tracer: &Path) -> Result<ExitCode> {
    let any = names_subject(args);
    let is_wanted = |it: &&Subject| it.name == NONE || if any { is_named(args, it.name) } else { it.can_be_counted() };
    let plan = count::Plan {
        tracer,
        workloads: workloads(args, &count::WORKLOADS),
        subjects: subject::ALL.iter().filter(is_wanted).collect(),
        rounds: args.rounds.unwrap_or(1),
    };
    if let Some(results) = count::main(workspace, &args.counting, &plan)? {
        keep(args, &results)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Repeats the benchmark through sudo, with the tracer that was built as the user.
fn as_root(tracer: &Path, args: &Args) -> Result<ExitCode> {
    let program = env::current_exe().context("cannot tell where this binary is")?;
    let mut command = privilege::as_root(&program)?;
    command.args(env::args_os().skip(1));
    if args.tracer.is_none() {
        command.arg("--tracer").arg(tracer);
    }
    Err(command.exec()).context("cannot run sudo")
}

fn compare(args: &Args, tracer: &Path, machine: &Machine) -> Result<Vec<Results>> {
    let subjects = subjects(args, tracer);
    let threads = args.threads.map_or(1, usize::from);
    let settings = Settings { rounds: args.rounds.unwrap_or(ROUNDS), time: args.seconds, threads };
    let mut results = Vec::new();
    for workload in workloads(args, &Workload::ALL) {
        let rows = measure::all(&subjects, workload, settings).with_context(|| workload.name())?;
        let result = Results { workload, machine: machine.in_words(), rows };
        println!("\n{}", result.to_text());
        results.push(result);
    }
    Ok(results)
}

fn soak(args: &Args, tracer: &Path, time: Duration, machine: &Machine) -> Result<Vec<Results>> {
    let threads = args.threads.map_or_else(|| thread::available_parallelism().map_or(1, Into::into), usize::from);
    let settings = Settings { rounds: 1, time, threads };
    let mut subjects = subjects(args, tracer);
    if !names_subject(args) {
        subjects.retain(|ready| ready.subject.name == "trace");
    }
    let mut results = Vec::new();
    for workload in workloads(args, &[Workload::ChurnRst]) {
        let mut rows = Vec::new();
        for ready in &subjects {
            eprintln!("{}: {} for {} s", workload.name(), ready.subject.name, time.as_secs_f64());
            rows.extend(measure::soak(ready, workload, settings).with_context(|| ready.subject.name)?);
        }
        let result = Results { workload, machine: machine.in_words(), rows };
        println!("\n{}", result.to_text());
        results.push(result);
    }
    Ok(results)
}

/// The workloads that --only names, `default` if it names none.
fn workloads(args: &Args, default: &[Workload]) -> Vec<Workload> {
    let named: Vec<_> = Workload::ALL.into_iter().filter(|workload| is_named(args, workload.name())).collect();
    if named.is_empty() { default.to_vec() } else { named }
}

/// The subjects that --only names, all if it names none; without those that are not there.
fn subjects(args: &Args, tracer: &Path) -> Vec<Ready> {
    let any = names_subject(args);
    let wanted = subject::ALL.iter().filter(|subject| !any || subject.name == NONE || is_named(args, subject.name));
    wanted.filter_map(|subject| Ready::provide(subject, tracer)).collect()
}

fn names_subject(args: &Args) -> bool {
    subject::ALL.iter().any(|subject| is_named(args, subject.name))
}

fn is_named(args: &Args, name: &str) -> bool {
    args.only.iter().any(|only| only == name)
}

fn names() -> Vec<&'static str> {
    let subjects = subject::ALL.iter().map(|subject| subject.name);
    Workload::ALL.iter().map(|workload| workload.name()).chain(subjects).collect()
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse().map(Duration::try_from_secs_f64) {
        Ok(Ok(time)) if time >= Duration::from_millis(10) => Ok(time),
        _ => Err("expected a number of seconds, at least 0.01".into()),
    }
}
