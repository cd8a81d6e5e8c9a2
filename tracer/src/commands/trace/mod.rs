//! `tracer trace`: the whole machine, some processes, or a command; live.

use std::{collections::BTreeSet, ffi::OsString, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use tokio::time::timeout;

use self::{
    accounts::Accounts,
    parts::Parts,
    readers::Readers,
    show::Show,
    signals::{Signals, StopCause},
    target::Target,
};
use crate::{
    child::{Held, When},
    cli::{Detail, TraceArgs},
    commands::output::{Output, OutputArgs},
    config::{Config, Rotation},
    confine,
    event::Kind,
    filter::{Criteria, FilterArgs},
    host::{account::Account, new_file::Making, priority},
    kernel::preflight::{self, Purpose},
    outlet::{Gauge, Outlet},
    redact::Secret,
    session::{Scope, Session},
    sink::text::TextStyle,
};

mod accounts;
mod parts;
mod readers;
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
    /// When that gets a terminal of its own.
    pub pty: When,
    /// Where to record.
    pub write: Option<&'a Path>,
    /// When the recording goes on in another file.
    pub rotation: Rotation,
    /// How to show it.
    pub output: OutputArgs<'a>,
    /// Only RSTs, and connections that died without one; at the end, a table of RSTs by cause.
    pub rsts_only: bool,
    /// What else to find out about RSTs.
    pub detail: Detail,
    /// What to mask in what is shown and recorded.
    pub redact: BTreeSet<Secret>,
    /// A loss is a failure.
    pub fail_on_loss: bool,
    /// The user to go on as when all is set up.
    pub user: Option<&'a str>,
}

/// Runs `tracer trace`.
///
/// # Errors
/// If the filters or the command name something that is not there, the probes cannot be attached, or the
/// output fails.
pub fn run(config: &Config, args: &TraceArgs) -> anyhow::Result<ExitCode> {
    let kinds = BTreeSet::from_iter(args.events.iter().copied());
    let style = TextStyle::Trace { tasks: args.tasks, evidence: args.evidence };
    perform(
        config,
        &Job {
            shown: kinds.clone(),
            kinds,
            filter: &args.filter,
            duration: args.duration,
            count: args.count,
            command: &args.command,
            pty: args.pty,
            write: args.files.write.as_deref(),
            rotation: args.files.rotation.get(),
            output: OutputArgs { format: args.format.format(), style, file: args.files.output.as_deref() },
            rsts_only: false,
            detail: args.detail,
            redact: args.redact.secrets(),
            fail_on_loss: args.fail_on_loss,
            user: args.user.as_deref(),
        },
    )
}

/// Does a job.
///
/// # Errors
/// As [`run`].
pub fn perform(config: &Config, job: &Job<'_>) -> anyhow::Result<ExitCode> {
    // It gets the limits that we were given, not those that we raise for ourselves.
    let held = if job.command.is_empty() { None } else { Some(Held::fork(job.command, job.pty)?) };
    preflight::check(Purpose::Trace)?;
    // The command was made before, and keeps its own.
    priority::raise();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(trace(config, job, held))
}

async fn trace(config: &Config, job: &Job<'_>, held: Option<Held>) -> anyhow::Result<ExitCode> {
    // Before the probes, so that no signal can end the process without its summary.
    let mut signals = Signals::listen()?;
    let mut criteria = Criteria::of_host(job.filter)?;
    criteria.deaths_only = job.rsts_only;
    if let Some(held) = &held {
        criteria.want_process(held.pid());
        criteria.follow_children();
    }
    let mut target = Target::new(&job.filter.process.pids)?;
    let account = job.user.map(Account::named).transpose()?;
    let making = Making { force: config.force, owner: account.clone() };
    let (output, reader) = Output::on_thread(&job.output, &making)?;
    let (recording, disk) = job.write.map(|path| recording(path, &making, job.rotation)).transpose()?.unzip();
    if !is_open(&mut signals, "write to", job.output.file, &reader).await? {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(disk) = &disk
        && !is_open(&mut signals, "record to", job.write, disk).await?
    {
        return Ok(ExitCode::SUCCESS);
    }
    let is_whole = criteria.are_none() && job.kinds.contains(&Kind::Rst);
    let scope = Scope { kinds: job.kinds.clone(), criteria, detail: job.detail, redact: job.redact.clone() };
    let mut session = Session::start(config, scope, LATENCY)?;
    if let Some(duration) = job.duration {
        signals.stop_after(session.started(), duration);
    }
    target.watch(session.take_processes()?)?;
    if let Some(recording) = recording {
        session.record(recording, job.rotation)?;
    }
    let accounts = Accounts::open(is_whole);
    let command = held.as_ref().map(Held::pid);
    confine::live(&confine::Live { command, makes_files: job.rotation.is_wanted(), account })?;
    if let Some(held) = held {
        target.start(held)?;
    }
    let mut show = Show::new(output, Readers::new(reader, disk), job, accounts, session.attached_ns());
    let followed = follow(&mut signals, &mut session, &mut target, &mut show).await;
    let finished = match followed {
        // What was seen before the signal is shown; what comes after it is not even observed.
        Ok(()) => show.finish(&mut session, &mut target.sockets, &mut signals).await,
        // Whoever read the output has gone, or its disk is full. The recording is whole all the same.
        Err(error) if show.readers.output_has_failed() => {
            show.mute();
            show.finish(&mut session, &mut target.sockets, &mut signals).await.and(Err(error))
        }
        Err(error) => Err(error),
    };
    // The recorder is the session's; it may have failed.
    drop(session);
    let settled = show.settle(&mut signals).await;
    let lost = finished?;
    settled?;
    let (in_part, lost) = (lost.in_part(), lost.total());
    if job.fail_on_loss && lost > 0 {
        bail!("{lost} events were lost: increase --ring-size, or narrow with filters or -e");
    }
    if job.fail_on_loss && in_part > 0 {
        bail!("{in_part} events are incomplete, because the socket table was full: increase --sockets");
    }
    Ok(target.exit_code())
}

/// Shows what happens, until somebody or something ends it.
async fn follow(
    signals: &mut Signals,
    session: &mut Session,
    target: &mut Target,
    show: &mut Show,
) -> anyhow::Result<()> {
    show.start(session)?;
    let mut stopped = false;
    let mut more = false;
    while !show.is_done() && !stopped {
        tokio::select! {
            biased;
            cause = signals.next() => stopped = match cause? {
                StopCause::Signal { signal, is_of_terminal } => !target.pass_on(signal, is_of_terminal),
                StopCause::Timeout => true,
            },
            ended = target.command_ended() => ended?,
            waited = something_to_do(session, &show.readers, more) => waited?,
        }
        if stopped {
            break;
        }
        // Else what the kernel has to say waits in the ring buffer, and what finds that full is counted.
        let has_room = show.readers.have_room();
        if has_room {
            more = show.batch(session, &mut target.sockets, BATCH)?;
        }
        let is_held_up = !has_room && signals.are_urgent();
        stopped |= !(more && has_room) && target.has_ended(is_held_up)?;
    }
    Ok(())
}

/// Waits until there may be events to show, and room for them; but not for long.
async fn something_to_do(session: &mut Session, readers: &Readers, more: bool) -> anyhow::Result<()> {
    if !readers.have_room() {
        // Later is soon enough.
        return timeout(LATENCY, readers.room()).await.unwrap_or(Ok(()));
    }
    if !more {
        session.ready().await?;
    }
    Ok(())
}

fn recording(path: &Path, making: &Making, rotation: Rotation) -> anyhow::Result<(Outlet, Gauge)> {
    let (path, making) = (path.to_owned(), making.clone());
    if rotation.is_wanted() {
        let mut parts = None;
        let open = move || {
            // Before the first file, so that what would keep a later one from being made shows at once.
            let begin = || {
                confine::writer_of_files(making.owner.as_ref());
                Parts::new(&path, making.clone(), rotation)
            };
            parts.get_or_insert_with(begin).next()
        };
        return Outlet::to_files(open).context(NO_THREAD);
    }
    Outlet::new(move || {
        let file = making.create(&path)?;
        confine::writer(making.owner.as_ref());
        Ok(file)
    })
    .context(NO_THREAD)
}

/// Waits until a file is open: that of a named pipe is when somebody reads it. False if a signal came before.
async fn is_open(signals: &mut Signals, what: &str, path: Option<&Path>, file: &Gauge) -> anyhow::Result<bool> {
    tokio::select! {
        biased;
        cause = signals.next() => cause.map(|_| false),
        opened = file.room() => {
            let path = path.unwrap_or(Path::new("standard output"));
            opened.map(|()| true).with_context(|| format!("cannot {what} {}", path.display()))
        }
    }
}

const NO_THREAD: &str = "cannot start a thread that writes";
const CANNOT_WRITE: &str = "cannot write the output";
