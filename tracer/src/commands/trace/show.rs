//! From the session to the output: each RST gets its verdict on the way.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::{BATCH, CANNOT_WRITE, Job, accounts::Accounts, readers::Readers, signals::Signals, target::Sockets};
use crate::{
    commands::{output::Output, showing::Showing, tally::Tally},
    host::clock::mono_now,
    pipeline::diagnose::{SURELY_NS, Watch},
    report::Lost,
    session::Session,
    sink::Item,
};

/// How long the last events may take to be explained, at most: those that wait longest, and a tenth of a second to read
/// what explains them.
const EXPLAINING: Duration = Duration::from_nanos(SURELY_NS + 100_000_000);

/// Shows events in order.
pub(super) struct Show {
    showing: Showing,
    accounts: Accounts,
    pub(super) readers: Readers,
    /// `CLOCK_MONOTONIC` up to which all has been read, 0 while there may be more.
    reached_ns: u64,
}

impl Show {
    /// `attached_ns`: when all was observed, on `CLOCK_MONOTONIC` in nanoseconds.
    pub(super) fn new(output: Output, readers: Readers, job: &Job<'_>, accounts: Accounts, attached_ns: u64) -> Self {
        let showing = Showing::new(output, job.shown.clone(), Watch::since(attached_ns));
        let showing = showing.at_most(job.count.unwrap_or(u64::MAX));
        let showing = if job.rsts_only { showing.with_table() } else { showing };
        Self { showing, readers, accounts, reached_ns: 0 }
    }

    /// The first line.
    pub(super) fn start(&mut self, session: &Session) -> anyhow::Result<()> {
        if !session.sees_sent() {
            self.showing.diagnoser().misses_sent();
        }
        let info = &session.info();
        self.showing.output().write(Item::Start(info)).context(CANNOT_WRITE)?;
        self.flush()
    }

    /// Passes on what was shown so far.
    fn flush(&mut self) -> anyhow::Result<()> {
        self.showing.output().flush().context(CANNOT_WRITE)?;
        self.readers.were_given(self.showing.output().events());
        Ok(())
    }

    /// Shows nothing any more, because nobody is there to see it.
    pub(super) fn mute(&mut self) {
        self.showing.output().mute();
        self.readers.leave_output();
    }

    /// As many events as were asked for were shown.
    pub(super) fn is_done(&self) -> bool {
        self.showing.is_done()
    }

    /// Shows what is there, but takes no more than `batch` events; whether there may be more.
    pub(super) fn batch(&mut self, session: &mut Session, sockets: &mut Sockets, batch: u64) -> anyhow::Result<bool> {
        let began = mono_now();
        let mut taken = 0;
        while taken < batch
            && !self.is_done()
            && let Some(event) = session.next_event()?
        {
            taken += 1;
            sockets.saw(&event);
            if self.showing.would_show(&event) {
                self.accounts.saw(&event);
            }
            self.showing.push(event).context(CANNOT_WRITE)?;
        }
        let more = taken == batch;
        self.reached_ns = if more { 0 } else { began };
        if !more {
            if session.has_lost(began)? {
                self.showing.diagnoser().lose(began);
            }
            // All that happened before we looked has been seen.
            self.showing.reach(began).context(CANNOT_WRITE)?;
        }
        if let Some(loss) = session.new_loss(self.reached_ns)? {
            self.showing.output().write(Item::Loss(&loss)).context(CANNOT_WRITE)?;
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
            self.showing.output().write(Item::Loss(&loss)).context(CANNOT_WRITE)?;
        }
        self.showing.reach(u64::MAX).context(CANNOT_WRITE)?;
        let mut summary = session.summary(self.showing.output().counts())?;
        let [waiting, retracted, evidence] = self.showing.unshown();
        let mut accounted = session.account();
        accounted.cut_off += waiting;
        accounted.retracted = retracted;
        accounted.evidence += evidence;
        summary.accounted = Some(accounted);
        summary.unaccounted = self.accounts.close();
        summary.causes = self.showing.take_table().map(Tally::rows);
        session.finish_recording(&summary)?;
        self.showing.output().write(Item::Summary(&summary)).context(CANNOT_WRITE)?;
        self.flush()?;
        Ok(summary.lost)
    }

    /// Waits until what was shown has been read, and what was recorded written.
    pub(super) async fn settle(self, signals: &mut Signals) -> anyhow::Result<()> {
        let Self { showing, readers, .. } = self;
        let mut output = showing.into_output();
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
        self.showing.diagnoser().stop(stopped);
        let deadline = Instant::now() + EXPLAINING;
        while Instant::now() < deadline {
            let more = self.batch(session, sockets, BATCH)?;
            if self.showing.diagnoser().is_done() || self.is_done() {
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
}
