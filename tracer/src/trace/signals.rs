//! What tells a trace to stop.

use std::{pin::Pin, time::Duration};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::{
    signal::unix::{self, SignalKind},
    time::{Sleep, sleep},
};

/// Signals and the clock.
pub(super) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    timeout: Option<Pin<Box<Sleep>>>,
}

/// Why to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// SIGINT or SIGTERM.
    Signal(Signal),
    /// The time that was asked for is over.
    Timeout,
}

impl Signals {
    /// From here on neither signal ends the process.
    pub(super) fn listen(duration: Option<Duration>) -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt()).context("cannot handle SIGINT")?,
            terminate: unix::signal(SignalKind::terminate()).context("cannot handle SIGTERM")?,
            timeout: duration.map(|duration| Box::pin(sleep(duration))),
        })
    }

    /// Waits for the next cause.
    pub(super) async fn next(&mut self) -> Cause {
        let timeout = async {
            match &mut self.timeout {
                Some(timeout) => timeout.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Cause::Signal(Signal::SIGINT),
            _ = self.terminate.recv() => Cause::Signal(Signal::SIGTERM),
            () = timeout => Cause::Timeout,
        }
    }
}
