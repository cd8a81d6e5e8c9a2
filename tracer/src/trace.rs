//! `tracer trace`: the whole machine, live.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::{Cli, TraceArgs},
    output::Output,
    preflight::{self, Purpose},
    session::Session,
    sink::Item,
};

/// How long an event may wait to be shown.
const LATENCY: Duration = Duration::from_millis(20);
/// Events shown before signals are looked at again, so that a flood cannot keep us from stopping.
const BATCH: u64 = 1024;

/// Runs the command.
///
/// # Errors
/// If the probes cannot be attached or the output fails.
pub fn run(cli: &Cli, args: &TraceArgs) -> anyhow::Result<ExitCode> {
    preflight::check(Purpose::Trace)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(trace(cli, args))
}

async fn trace(cli: &Cli, args: &TraceArgs) -> anyhow::Result<ExitCode> {
    let wanted = args.events.iter().flat_map(|kind| kind.probes()).copied().collect();
    // Before the probes, so that no signal can end the process without its summary.
    let stop = stop_signal(args.duration)?;
    tokio::pin!(stop);
    let mut session = Session::start(cli, wanted, false, LATENCY)?;
    if let Some(path) = &args.write {
        session.record(path)?;
    }
    let mut output = Output::new(args.json, false);
    output.write(Item::Start(&session.info()))?;
    output.flush()?;

    let mut left = args.count.unwrap_or(u64::MAX);
    let mut stopped = false;
    let mut more = false;
    while left > 0 && !stopped {
        tokio::select! {
            biased;
            () = &mut stop => {
                stopped = true;
                // What was seen before the signal is shown; what comes after it is not even observed.
                session.detach();
            }
            () = std::future::ready(()), if more => {}
            ready = session.ready() => ready?,
        }
        let batch = if stopped { u64::MAX } else { BATCH };
        more = show(&mut session, &mut output, &mut left, batch)?;
    }
    session.detach();
    output.write(Item::Summary(&session.summary()?))?;
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Shows events that are there, but no more than `left` and `batch`; whether there may be more.
fn show(session: &mut Session, output: &mut Output, left: &mut u64, batch: u64) -> anyhow::Result<bool> {
    let mut shown = 0;
    while shown < batch.min(*left)
        && let Some(event) = session.next_event()?
    {
        output.write(Item::Event(&event))?;
        shown += 1;
    }
    *left -= shown;
    output.flush()?;
    Ok(shown == batch)
}

/// Ends with the first SIGINT or SIGTERM, or after `duration`.
fn stop_signal(duration: Option<Duration>) -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    Ok(async move {
        let timeout = async {
            match duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = timeout => {}
        }
    })
}
