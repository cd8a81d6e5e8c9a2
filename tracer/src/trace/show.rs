//! From the session to the output: each RST gets its verdict on the way.

use std::collections::BTreeSet;

use super::{Job, accounts::Accounts, target::Sockets};
use crate::{
    diagnose::Diagnoser,
    enrich::clock::mono_now,
    kind::Kind,
    output::Output,
    report::{Lost, RunInfo},
    session::Session,
    sink::Item,
    tally::Tally,
};

/// Shows events in order.
pub(super) struct Show {
    output: Output,
    shown: BTreeSet<Kind>,
    diagnoser: Diagnoser,
    /// RSTs by cause, if there is to be a table.
    tally: Option<Tally>,
    accounts: Accounts,
    left: u64,
}

impl Show {
    pub(super) fn new(output: Output, job: &Job<'_>, accounts: Accounts) -> Self {
        Self {
            output,
            shown: job.shown.clone(),
            diagnoser: Diagnoser::default(),
            tally: job.rsts_only.then(Tally::default),
            accounts,
            left: job.count.unwrap_or(u64::MAX),
        }
    }

    /// The first line.
    pub(super) fn start(&mut self, info: &RunInfo) -> anyhow::Result<()> {
        self.output.write(Item::Start(info))?;
        Ok(self.output.flush()?)
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
            if self.shown.contains(&event.kind()) {
                self.accounts.saw(&event);
            }
            self.diagnoser.push(event);
            self.drain()?;
        }
        let more = taken == batch;
        if !more {
            // All that happened before we looked has been seen.
            self.diagnoser.reach(began);
            self.drain()?;
        }
        self.output.flush()?;
        Ok(more)
    }

    /// The end: what still waits for a verdict, and the sums. Tells what was lost.
    pub(super) fn finish(mut self, session: &mut Session, sockets: &mut Sockets) -> anyhow::Result<Lost> {
        // Before the last events, so that what both count differs only by what nobody reported.
        self.accounts.stop();
        session.detach();
        self.batch(session, sockets, u64::MAX)?;
        self.diagnoser.reach(u64::MAX);
        self.drain()?;
        let mut summary = session.summary(self.output.counts())?;
        summary.unaccounted = self.accounts.close();
        summary.causes = self.tally.map(Tally::rows);
        session.finish_recording(&summary)?;
        self.output.write(Item::Summary(&summary))?;
        self.output.flush()?;
        Ok(summary.lost)
    }

    fn drain(&mut self) -> anyhow::Result<()> {
        while self.left > 0
            && let Some(event) = self.diagnoser.pop()
        {
            if !self.shown.contains(&event.kind()) {
                continue;
            }
            if let Some(tally) = &mut self.tally {
                tally.add(&event);
            }
            self.output.write(Item::Event(&event))?;
            self.left -= 1;
        }
        Ok(())
    }
}
