//! Who takes what a trace writes: a pipe's reader or a terminal, and a file. Neither may keep it from ending.

use std::{
    collections::VecDeque,
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::time::interval;

use super::signals::{Signals, StopCause};
use crate::{outlet::Gauge, session::CANNOT_RECORD};

/// How long a reader may take nothing, once somebody wants us to end who is not to be kept waiting.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The output's, and the recording's if there is one.
pub(super) struct Readers {
    output: Gauge,
    recording: Option<Gauge>,
    /// Up to which byte of the output there were how many events, of those that may be still to be written.
    marks: VecDeque<(u64, u64)>,
    written: u64,
    shown: u64,
    given_up: Option<GivenUp>,
}

/// What was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum GivenUp {
    /// The output's reader takes nothing.
    #[error(
        "nobody reads the output: up to {0} events and the summary were not written; `-o FILE` does not wait for a \
         reader, and a recording made with -w is complete"
    )]
    Output(u64),
    /// The recording's file takes nothing.
    #[error("the recording's file takes nothing any more: the recording is cut off")]
    Recording,
}

impl Readers {
    pub(super) fn new(output: Gauge, recording: Option<Gauge>) -> Self {
        Self { output, recording, marks: VecDeque::new(), written: 0, shown: 0, given_up: None }
    }

    /// Both take more now.
    pub(super) fn have_room(&self) -> bool {
        self.output.has_room() && self.recording.as_ref().is_none_or(Gauge::has_room)
    }

    /// Waits for that. Cancel-safe.
    pub(super) async fn room(&self) -> anyhow::Result<()> {
        if let Some(recording) = &self.recording {
            recording.room().await.context(CANNOT_RECORD)?;
        }
        self.output.room().await.context(super::CANNOT_WRITE)
    }

    /// Waits until all is written and both are closed, also where one of them fails. Cancel-safe.
    async fn settled(&self) -> anyhow::Result<()> {
        let recorded = match &self.recording {
            Some(recording) => recording.settled().await,
            None => Ok(()),
        };
        let written = self.output.settled().await;
        recorded.context(CANNOT_RECORD)?;
        written.context(super::CANNOT_WRITE)
    }

    /// The output cannot be written; its reader may have gone.
    pub(super) fn output_has_failed(&self) -> bool {
        self.output.has_failed()
    }

    /// Nothing is written to the output any more.
    pub(super) fn leave_output(&self) {
        self.output.give_up();
    }

    /// So many events were put out by now.
    pub(super) fn were_given(&mut self, events: u64) {
        self.shown = events;
        self.marks.push_back((self.output.given(), events));
        let written = self.output.written();
        while let Some(&(_, events)) = self.marks.front().filter(|(bytes, _)| *bytes <= written) {
            self.written = events;
            self.marks.pop_front();
        }
    }

    /// Waits for what a reader may hold up: as long as that takes, but once a signal came that asks for an end at
    /// once, only while the readers take something. `None`: that they do not.
    pub(super) async fn wait<T>(
        &self,
        signals: &mut Signals,
        work: impl Future<Output = T>,
    ) -> anyhow::Result<Option<T>> {
        let mut work = pin!(work);
        let mut look = interval(LOOK);
        let mut progress = (self.progress(), Instant::now());
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(Some(done)),
                cause = signals.next() => if let StopCause::Signal { .. } = cause? {
                    // We are ending already: this asks for it once more.
                    signals.hurry();
                },
                _ = look.tick() => {}
            }
            let now = self.progress();
            if now != progress.0 || !signals.are_urgent() {
                progress = (now, Instant::now());
            } else if progress.1.elapsed() >= PATIENCE {
                return Ok(None);
            }
        }
    }

    /// Who takes nothing is not waited for any more.
    pub(super) fn give_up(&mut self) {
        if self.output.is_waiting() {
            self.were_given(self.shown);
            self.given_up = Some(GivenUp::Output(self.shown - self.written));
            self.output.give_up();
        } else if let Some(recording) = &self.recording {
            self.given_up.get_or_insert(GivenUp::Recording);
            recording.give_up();
        }
    }

    /// Waits until all is written, or nobody is left who takes it.
    pub(super) async fn settle(mut self, signals: &mut Signals) -> anyhow::Result<()> {
        loop {
            match self.wait(signals, self.settled()).await? {
                Some(settled) => break settled?,
                None => self.give_up(),
            }
        }
        self.given_up.map_or(Ok(()), |given_up| Err(given_up.into()))
    }

    fn progress(&self) -> u64 {
        self.output.written() + self.recording.as_ref().map_or(0, Gauge::written)
    }
}
