//! What tells a trace to stop.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::sys::{
    signal::{self, SigHandler, SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Sleep, sleep_until},
};

use crate::child;

/// Each of them ends a run as Ctrl-C does.
const SIGNALS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// Signals and the clock.
pub(super) struct Signals {
    signals: AsyncFd<SignalFd>,
    timeout: Option<Pin<Box<Sleep>>>,
    is_urgent: bool,
}

/// Why to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopCause {
    /// A signal.
    Signal {
        /// Which.
        signal: Signal,
        /// By a key: the terminal sends it to all processes in its foreground.
        is_of_terminal: bool,
    },
    /// The time that was asked for is over.
    Timeout,
}

impl Signals {
    /// From here on none of them ends the process. There must be no other thread yet.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let mut wanted = SigSet::empty();
        for signal in SIGNALS {
            // Whoever starts us so that a hang-up is ignored (nohup) wants just that.
            let is_optional = matches!(signal, Signal::SIGHUP | Signal::SIGQUIT);
            if !(is_optional && child::is_ignored(signal)) {
                wanted.add(signal);
            }
        }
        wanted.thread_block().context("cannot block signals")?;
        // Where a file may not grow any more, writing shall fail, and the rest go on.
        // SAFETY: there is no handler.
        unsafe { signal::signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.context("cannot ignore SIGXFSZ")?;
        let signals = SignalFd::with_flags(&wanted, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
        // SAFETY: it owns its descriptor, which stays open and the same as long as it lives.
        let signals =
            unsafe { AsyncFd::register_with_interest(signals.context("cannot handle signals")?, Interest::READABLE) };
        Ok(Self { signals: signals.map_err(std::io::Error::from)?, timeout: None, is_urgent: false })
    }

    /// Stops so long after `start`.
    pub(super) fn stop_after(&mut self, start: Instant, duration: Duration) {
        // What no clock can tell is never over.
        let end = start.checked_add(duration);
        self.timeout = end.map(|end| Box::pin(sleep_until(end.into())));
    }

    /// Whoever wants us to end will not wait for a reader: a signal came that is no Ctrl-C.
    pub(super) fn are_urgent(&self) -> bool {
        self.is_urgent
    }

    /// Waits for the next cause. Cancel-safe.
    pub(super) async fn next(&mut self) -> anyhow::Result<StopCause> {
        let timeout = async {
            match &mut self.timeout {
                Some(timeout) => timeout.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            cause = next_signal(&mut self.signals) => {
                let cause = cause?;
                self.is_urgent |= matches!(cause, StopCause::Signal { signal, .. } if signal != Signal::SIGINT);
                Ok(cause)
            }
            () = timeout => {
                self.timeout = None;
                Ok(StopCause::Timeout)
            }
        }
    }

    /// A second signal of any kind.
    pub(super) fn hurry(&mut self) {
        self.is_urgent = true;
    }
}

async fn next_signal(signals: &mut AsyncFd<SignalFd>) -> anyhow::Result<StopCause> {
    loop {
        let mut ready = signals.readable_mut().await?;
        if let Some(info) = ready.get_inner_mut().read_signal()? {
            let signal = Signal::try_from(info.ssi_signo as i32)?;
            return Ok(StopCause::Signal { signal, is_of_terminal: info.ssi_code == libc::SI_KERNEL });
        }
        ready.clear_ready();
    }
}
