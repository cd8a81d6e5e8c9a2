//! `tracer trace`: the whole machine, some processes, or a command; live.

use std::{collections::BTreeSet, ffi::OsString, path::Path, process::ExitCode, time::Duration};

use anyhow::bail;

use self::{
    accounts::Accounts,
    show::Show,
    signals::{Cause, Signals},
    target::Target,
};
use crate::{
    cli::{Cli, Detail, TraceArgs},
    command::Held,
    filter::{Criteria, FilterArgs},
    kind::Kind,
    output::{Output, OutputArgs},
    preflight::{self, Purpose},
    priority,
    session::{Scope, Session},
    sink::text::Manner,
};

mod accounts;
mod show;
mod signals;
mod target;

/// How long an event may wait to be shown.
const LATENCY: Duration = Duration::from_millis(20);
/// Events shown before signals are looked at again, so that a flood cannot keep us from stopping.
const BATCH: u64 = 1024;

/// What to report and where to.
pub struct Job<'a> {
    /// What to observe.
    pub kinds: BTreeSet<Kind>,
    /// What to show of that.
    pub shown: BTreeSet<Kind>,
    /// What it must be about.
    pub filter: &'a FilterArgs,
    /// When to stop.
    pub duration: Option<Duration>,
    /// After how many events to stop.
    pub count: Option<u64>,
    /// What to run.
    pub command: &'a [OsString],
    /// Where to record.
    pub write: Option<&'a Path>,
    /// How to show it.
    pub output: OutputArgs<'a>,
    /// Only RSTs, and connections that died without one; at the end, a table of RSTs by cause.
    pub rsts_only: bool,
    /// What else to find out about RSTs.
    pub detail: Detail,
    /// A loss is a failure.
    pub fail_on_loss: bool,
}

/// Runs `tracer trace`.
///
/// # Errors
/// If the filters or the command name something that is not there, the probes cannot be attached, or the
/// output fails.
pub fn run(cli: &Cli, args: &TraceArgs) -> anyhow::Result<ExitCode> {
    let kinds = BTreeSet::from_iter(args.events.iter().copied());
    let manner = Manner::Trace { tasks: args.tasks, evidence: args.evidence };
    perform(
        cli,
        &Job {
            shown: kinds.clone(),
            kinds,
            filter: &args.filter,
            duration: args.duration,
            count: args.count,
            command: &args.command,
            write: args.write.as_deref(),
            output: OutputArgs { json: args.json, manner, file: args.output.as_deref() },
            rsts_only: false,
            detail: args.detail,
            fail_on_loss: args.fail_on_loss,
        },
    )
}

/// Does a job.
///
/// # Errors
/// As [`run`].
pub fn perform(cli: &Cli, job: &Job<'_>) -> anyhow::Result<ExitCode> {
    // It gets the limits that we were given, not those that we raise for ourselves.
    let held = if job.command.is_empty() { None } else { Some(Held::fork(job.command)?) };
    preflight::check(Purpose::Trace)?;
    // The command was made before, and keeps its own.
    priority::raise();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(trace(cli, job, held))
}

async fn trace(cli: &Cli, job: &Job<'_>, held: Option<Held>) -> anyhow::Result<ExitCode> {
    // Before the probes, so that no signal can end the process without its summary.
    let mut signals = Signals::listen(job.duration)?;
    let mut criteria = Criteria::of_host(job.filter)?;
    criteria.deaths_only = job.rsts_only;
    if let Some(held) = &held {
        criteria.want_process(held.pid());
        criteria.follow = true;
    }
    let mut target = Target::new(&job.filter.pids)?;
    let output = Output::new(&job.output)?;
    let is_whole = Accounts::are_whole(&criteria) && job.kinds.contains(&Kind::Rst);
    let mut session = Session::start(cli, Scope { kinds: job.kinds.clone(), criteria, detail: job.detail }, LATENCY)?;
    target.watch(session.take_processes()?)?;
    if let Some(path) = job.write {
        session.record(path)?;
    }
    if let Some(held) = held {
        target.start(held)?;
    }
    let mut show = Show::new(output, job, Accounts::open(is_whole));
    show.start(&session.info())?;

    let mut stopped = false;
    let mut more = false;
    while !show.is_done() && !stopped {
        tokio::select! {
            biased;
            cause = signals.next() => stopped = match cause {
                Cause::Signal(signal) => !target.pass_on(signal),
                Cause::Timeout => true,
            },
            ended = target.command_ended() => ended?,
            () = std::future::ready(()), if more => {}
            ready = session.ready() => ready?,
        }
        if stopped {
            break;
        }
        more = show.batch(&mut session, &mut target.sockets, BATCH)?;
        stopped |= !more && target.has_ended()?;
    }
    // What was seen before the signal is shown; what comes after it is not even observed.
    let lost = show.finish(&mut session, &mut target.sockets)?.total();
    if job.fail_on_loss && lost > 0 {
        bail!("{lost} events were lost: a larger --ring-size makes room for more, filters and fewer events need less");
    }
    Ok(target.exit_code())
}
