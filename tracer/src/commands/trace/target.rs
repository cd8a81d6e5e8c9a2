//! The processes that a trace is about: it ends when they have.

use std::{
    collections::HashSet,
    os::fd::OwnedFd,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::sys::signal::Signal;

use crate::{
    child::{Held, Running, Status},
    event::{Body, Event, TcpState},
    host::pidfd,
    kernel::loader::Processes,
};

/// How long the last segments of connections may take after the processes have ended.
const LAST_SEGMENTS: Duration = Duration::from_secs(1);

/// How often processes that have ended are forgotten, which the programs go on reporting.
const TIDY_EVERY: Duration = Duration::from_millis(200);

/// What a trace is about; nothing in particular by default.
pub(super) struct Target {
    /// Processes that were given by id.
    given: Vec<OwnedFd>,
    command: Option<Running>,
    status: Option<Status>,
    /// Processes that the programs report: those given by id, the command, and their descendants.
    processes: Option<Processes>,
    pub(super) sockets: Sockets,
    ended: Option<Instant>,
    /// When those that had ended were last taken off the processes.
    tidied: Instant,
    was_told_to_stop: bool,
}

/// Sockets that were seen, and are not closed yet.
#[derive(Debug, Default)]
pub(super) struct Sockets(HashSet<u64>);

impl Sockets {
    /// Follows an event.
    pub(super) fn saw(&mut self, event: &Event) {
        if let Body::State(state) = &event.body {
            if state.new == TcpState::CLOSE {
                self.0.remove(&event.sock);
            } else {
                self.0.insert(event.sock);
            }
        }
    }
}

impl Target {
    /// These processes, or none in particular.
    pub(super) fn new(pids: &[u32]) -> anyhow::Result<Self> {
        let given = pids.iter().map(|&pid| pidfd::open(pid).with_context(|| format!("cannot watch process {pid}")));
        Ok(Self {
            given: given.collect::<Result<_, _>>()?,
            command: None,
            status: None,
            processes: None,
            sockets: Sockets::default(),
            ended: None,
            tidied: Instant::now(),
            was_told_to_stop: false,
        })
    }

    /// What the programs report, once they are attached.
    pub(super) fn watch(&mut self, processes: Option<Processes>) -> anyhow::Result<()> {
        self.processes = processes;
        self.processes.as_mut().map_or(Ok(()), Processes::forget_ended)
    }

    /// Starts the command.
    pub(super) fn start(&mut self, held: Held) -> anyhow::Result<()> {
        self.command = Some(held.release()?);
        Ok(())
    }

    /// Completes when the command ends, if there is one that has not.
    pub(super) async fn command_ended(&mut self) -> anyhow::Result<()> {
        match &mut self.command {
            Some(command) if self.status.is_none() => {
                self.status = Some(command.wait().await.context("cannot wait for the command")?);
                Ok(())
            }
            _ => std::future::pending().await,
        }
    }

    /// All have ended, and so have their connections, as far as one may wait for that; or may not.
    pub(super) fn has_ended(&mut self, at_once: bool) -> anyhow::Result<bool> {
        let Some(processes) = &mut self.processes else { return Ok(false) };
        if self.tidied.elapsed() >= TIDY_EVERY {
            processes.forget_ended()?;
            self.tidied = Instant::now();
        }
        let is_running = self.command.is_some() && self.status.is_none();
        if is_running || !self.given.iter().all(pidfd::has_ended) || !processes.is_empty()? {
            return Ok(false);
        }
        let since = *self.ended.get_or_insert_with(Instant::now);
        Ok(at_once || self.sockets.0.is_empty() || since.elapsed() >= LAST_SEGMENTS)
    }

    /// A signal came. Whether it is the command's to act on: it has got it from the terminal, as we have, or gets it now. A
    /// second one is ours.
    pub(super) fn pass_on(&mut self, signal: Signal, is_of_terminal: bool) -> bool {
        let Some(command) = &self.command else { return false };
        if self.status.is_some() || std::mem::replace(&mut self.was_told_to_stop, true) {
            return false;
        }
        if let Err(error) = command.forward(signal, is_of_terminal) {
            log::warn!("cannot pass {signal} on to the command: {error}");
        }
        true
    }

    /// The command's, or success.
    pub(super) fn exit_code(&self) -> ExitCode {
        self.status.map_or(ExitCode::SUCCESS, |status| status.exit_code().into())
    }
}
