//! From the session to the output: each RST gets its verdict on the way.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{BATCH, CANNOT_WRITE, Job, accounts::Accounts, readers::Readers, signals::Signals, target::Sockets};
use crate::{
    commands::{output::Output, tally::Tally},
    event::kind::Kind,
    host::clock::mono_now,
    pipeline::diagnose::{Diagnoser, Watch},
    report::Lost,
    session::Session,
    sink::Item,
};

/// How long the last events may take to be explained, at most.
const EXPLAINING: Duration = Duration::from_millis(300);

/// Shows events in order.
pub(super) struct Show {
    output: Output,
    shown: BTreeSet<Kind>,
    diagnoser: Diagnoser,
    /// RSTs by cause, if there is to be a table.
    tally: Option<Tally>,
    accounts: Accounts,
    left: u64,
    /// Events that were pushed and not popped yet, or never will be.
    inside: u64,
    /// Events that were popped, but are not of a kind, or of a time, that is shown.
    evidence: u64,
    pub(super) readers: Readers,
    /// `CLOCK_MONOTONIC` up to which all has been read, 0 while there may be more.
    reached_ns: u64,
}

impl Show {
    /// `attached_ns`: when all was observed, on `CLOCK_MONOTONIC` in nanoseconds.
    pub(super) fn new(output: Output, readers: Readers, job: &Job<'_>, accounts: Accounts, attached_ns: u64) -> Self {
        Self {
            output,
            readers,
            shown: job.shown.clone(),
            diagnoser: Diagnoser::new(Watch::since(attached_ns)),
            tally: job.rsts_only.then(Tally::default),
            accounts,
            left: job.count.unwrap_or(u64::MAX),
            reached_ns: 0,
            inside: 0,
            evidence: 0,
        }
    }

    /// The first line.
    pub(super) fn start(&mut self, session: &Session) -> anyhow::Result<()> {
        if !session.sees_sent() {
            self.diagnoser.misses_sent();
        }
        let info = &session.info();
        self.output.write(Item::Start(info)).context(CANNOT_WRITE)?;
        self.flush()
    }

    /// Passes on what was shown so far.
    fn flush(&mut self) -> anyhow::Result<()> {
        self.output.flush().context(CANNOT_WRITE)?;
        self.readers.were_given(self.output.events());
        Ok(())
    }

    /// Shows nothing any more, because nobody is there to see it.
    pub(super) fn mute(&mut self) {
        self.output.mute();
        self.readers.leave_output();
    }

    /// As many events as were asked for were shown.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Shows what is there, but takes no more than `batch` events; whether there may be more.
    pub(super) fn batch(&mut self, session: &mut Session, sockets: &mut Sockets, batch: u64) -> anyhow::Result<bool> {
        let began = mono_now();
        let mut taken = 0;
        while taken < batch
            && self.left > 0
            && let Some(event) = session.next_event()?
        {
            taken += 1;
            sockets.saw(&event);
            if self.shown.contains(&event.kind()) && self.diagnoser.reports(&event) {
                self.accounts.saw(&event);
            }
            self.diagnoser.push(event);
            self.inside += 1;
            self.drain()?;
        }
        let more = taken == batch;
        self.reached_ns = if more { 0 } else { began };
        if !more {
            if session.has_lost(began)? {
                self.diagnoser.lose(began);
            }
            // All that happened before we looked has been seen.
            self.diagnoser.reach(began);
            self.drain()?;
        }
        if let Some(loss) = session.new_loss(self.reached_ns)? {
            self.output.write(Item::Loss(&loss)).context(CANNOT_WRITE)?;
        }
        session.flush_recording()?;
        self.flush()?;
        Ok(more)
    }

    /// The end: what still waits for a verdict, and the sums. Tells what was lost.
    pub(super) async fn finish(
        &mut self,
        session: &mut Session,
        sockets: &mut Sockets,
        signals: &mut Signals,
    ) -> anyhow::Result<Lost> {
        // Before the last events, so that what both count differs only by what nobody reported.
        self.accounts.stop();
        self.explain_last(session, sockets, signals).await?;
        session.detach();
        while self.batch(session, sockets, BATCH)? {
            self.make_room(signals).await?;
        }
        if let Some(loss) = session.last_loss(self.reached_ns)? {
            self.output.write(Item::Loss(&loss)).context(CANNOT_WRITE)?;
        }
        self.diagnoser.reach(u64::MAX);
        self.drain()?;
        let mut summary = session.summary(self.output.counts())?;
        let waiting = self.diagnoser.waiting() as u64;
        let mut accounted = session.account();
        accounted.cut_off += waiting;
        accounted.retracted = self.inside - waiting;
        accounted.evidence += self.evidence;
        summary.accounted = Some(accounted);
        summary.unaccounted = self.accounts.close();
        summary.causes = self.tally.take().map(Tally::rows);
        session.finish_recording(&summary)?;
        self.output.write(Item::Summary(&summary)).context(CANNOT_WRITE)?;
        self.flush()?;
        Ok(summary.lost)
    }

    /// Waits until what was shown has been read, and what was recorded written.
    pub(super) async fn settle(self, signals: &mut Signals) -> anyhow::Result<()> {
        let Self { mut output, readers, .. } = self;
        // Where it fails, whoever waits for it is told.
        let _ = output.flush();
        drop(output);
        readers.settle(signals).await
    }

    /// Reports nothing any more of what happens from now on, but lets it explain what has just happened: a RST that
    /// came may be one that this host has sent, which is reported after it.
    async fn explain_last(
        &mut self,
        session: &mut Session,
        sockets: &mut Sockets,
        signals: &mut Signals,
    ) -> anyhow::Result<()> {
        let stopped = mono_now();
        session.stop(stopped)?;
        self.diagnoser.stop(stopped);
        let deadline = Instant::now() + EXPLAINING;
        while Instant::now() < deadline {
            let more = self.batch(session, sockets, BATCH)?;
            if self.diagnoser.is_done() || self.is_done() {
                break;
            }
            if more {
                self.make_room(signals).await?;
            } else {
                session.ready().await?;
            }
        }
        Ok(())
    }

    /// Waits for readers that are behind, or gives them up.
    async fn make_room(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        match self.readers.wait(signals, self.readers.room()).await? {
            Some(room) => room,
            None => {
                self.readers.give_up();
                Ok(())
            }
        }
    }

    fn drain(&mut self) -> anyhow::Result<()> {
        while self.left > 0
            && let Some(event) = self.diagnoser.pop()
        {
            self.inside -= 1;
            if !self.shown.contains(&event.kind()) {
                self.evidence += 1;
                continue;
            }
            if let Some(tally) = &mut self.tally {
                tally.add(&event);
            }
            self.output.write(Item::Event(&event)).context(CANNOT_WRITE)?;
            self.left -= 1;
        }
        let unreported = self.diagnoser.take_unreported();
        self.inside -= unreported;
        self.evidence += unreported;
        Ok(())
    }
}
