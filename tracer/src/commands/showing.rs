//! From an event to the output, the same for a live trace and for a recording: explained, admitted, counted, shown.

use std::{collections::BTreeSet, io};

use crate::{
    commands::{output::Output, tally::Tally},
    event::{Event, Kind},
    pipeline::diagnose::{Diagnoser, Watch},
    sink::Item,
};

/// Shows events in order, each RST with its verdict.
pub(super) struct Showing {
    output: Output,
    diagnoser: Diagnoser,
    /// The kinds of those that are shown, unless a filter leaves them out. The others are evidence.
    kinds: BTreeSet<Kind>,
    /// RSTs by cause, if there is to be a table.
    tally: Option<Tally>,
    /// Events that may still be shown.
    left: u64,
    /// Events that were pushed and not popped yet, or never will be.
    inside: u64,
    /// Events that were popped, but are not of a kind, or of a time, that is shown.
    evidence: u64,
}

impl Showing {
    /// Of what was observed in that time.
    pub(super) fn new(output: Output, kinds: BTreeSet<Kind>, watch: Watch) -> Self {
        let diagnoser = Diagnoser::new(watch);
        Self { output, diagnoser, kinds, tally: None, left: u64::MAX, inside: 0, evidence: 0 }
    }

    /// Also counts by cause.
    pub(super) fn with_table(self) -> Self {
        Self { tally: Some(Tally::default()), ..self }
    }

    /// Shows no more than so many events.
    pub(super) fn at_most(self, count: u64) -> Self {
        Self { left: count, ..self }
    }

    /// As many events as were asked for were shown.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// What tells when, of what it knows of other events.
    pub(super) fn diagnoser(&mut self) -> &mut Diagnoser {
        &mut self.diagnoser
    }

    fn admits(&self, event: &Event) -> bool {
        !event.filtered_out && self.kinds.contains(&event.kind())
    }

    /// The event is of a kind, and of a time, that is shown.
    pub(super) fn would_show(&self, event: &Event) -> bool {
        self.admits(event) && self.diagnoser.reports(event)
    }

    /// The next event; what is explained by it, or needs no more explanation, is shown.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub(super) fn push(&mut self, event: Event) -> io::Result<()> {
        self.diagnoser.push(event);
        self.inside += 1;
        self.drain()
    }

    /// All events up to this time, on `CLOCK_MONOTONIC` in nanoseconds, have come.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub(super) fn reach(&mut self, mono_ns: u64) -> io::Result<()> {
        self.diagnoser.reach(mono_ns);
        self.drain()
    }

    fn drain(&mut self) -> io::Result<()> {
        while self.left > 0
            && let Some(event) = self.diagnoser.pop()
        {
            self.inside -= 1;
            if !self.admits(&event) {
                self.evidence += 1;
                continue;
            }
            if let Some(tally) = &mut self.tally {
                tally.add(&event);
            }
            self.output.write(Item::Event(&event))?;
            self.left -= 1;
        }
        let unreported = self.diagnoser.take_unreported();
        self.inside -= unreported;
        self.evidence += unreported;
        Ok(())
    }

    /// Events that will not be shown: those that wait for an explanation, those that turned out to be none, and those
    /// that only explained others.
    pub(super) fn unshown(&self) -> [u64; 3] {
        let waiting = self.diagnoser.waiting() as u64;
        [waiting, self.inside - waiting, self.evidence]
    }

    /// Takes the table by cause, if there is to be one.
    pub(super) fn take_table(&mut self) -> Option<Tally> {
        self.tally.take()
    }

    /// Where it is shown.
    pub(super) fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Shows nothing more.
    pub(super) fn into_output(self) -> Output {
        self.output
    }
}
