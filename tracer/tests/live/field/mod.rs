//! Situations from the field: what happened in each, and what must be told of each end of it.
//!
//! The next report from the field is one entry in the [`ALL`] of a file beside this one. [`crate::causes`] plays all
//! of them under one trace, prints how many verdicts were right, and fails if one was not.

use std::any::Any;

use serde_json::Value;
use tracer::event::Confidence;

mod end;
mod given_away;
mod joins;
mod judgement;
mod kills;
mod memory;
mod mptcp;
mod router;
mod silence;
mod worker;

pub(crate) use self::{
    end::End,
    judgement::{Judgement, Score},
};

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Situation> {
    [kills::ALL, mptcp::ALL, given_away::ALL, joins::ALL, silence::ALL].into_iter().flatten()
}

/// Something that happens to connections.
pub(crate) struct Situation {
    /// What happens, in a few words.
    pub(crate) name: &'static str,
    /// Plays it, in network namespaces of its own.
    pub(crate) perform: fn() -> anyhow::Result<Happened>,
}

/// A situation that was played.
pub(crate) struct Happened {
    /// Inodes of the namespaces whose events belong to it.
    pub(crate) netns: Vec<u32>,
    /// Hosts, sockets and what else must live until the verdicts were read.
    pub(crate) alive: Vec<Box<dyn Any + Send>>,
    /// What must be told. What has a verdict and is none of these is wrong.
    pub(crate) ends: Vec<End>,
}

/// What was told of a situation.
pub(crate) struct Told {
    /// Of each verdict.
    pub(crate) judgements: Vec<Judgement>,
    /// What is wrong, a sentence each.
    pub(crate) wrong: Vec<String>,
}

impl Happened {
    /// Its events after `since`, in nanoseconds of `CLOCK_MONOTONIC`: before, its namespaces' numbers
    /// may have been another test's.
    fn own<'a>(&'a self, events: &'a [Value], since: u64) -> impl Iterator<Item = &'a Value> {
        let netns = |event: &Value| event["netns"].as_u64().and_then(|inode| u32::try_from(inode).ok());
        events.iter().filter(move |event| {
            event["mono_ns"].as_u64() >= Some(since) && netns(event).is_some_and(|inode| self.netns.contains(&inode))
        })
    }

    /// All that is to be told has come, so far as a trace of closes (or the one of verdicts) is to tell it.
    pub(crate) fn has_come(&self, events: &[Value], since: u64, of_closes: bool) -> bool {
        let ends = self.ends.iter().filter(|end| end.is_close() == of_closes);
        ends.into_iter().all(|end| end.has_come(self.own(events, since)))
    }

    /// What was told by the trace of verdicts, and by the one of closes.
    pub(crate) fn told(self, verdicts: &[Value], closes: &[Value], since: u64) -> Told {
        let mut told = Told { judgements: Vec::new(), wrong: Vec::new() };
        for end in &self.ends {
            let events = self.own(if end.is_close() { closes } else { verdicts }, since);
            let events: Vec<_> = events.filter(|event| end.is(event)).collect();
            told.wrong.extend(end.miscount(events.len()));
            for event in events {
                let (judgement, why) = end.judge(event);
                if !end.is_close() {
                    told.judgements.push(judgement);
                }
                told.wrong.extend((!why.is_empty()).then_some(why));
            }
        }
        for event in self.own(verdicts, since).filter(|event| event["verdict"].is_object()) {
            if !self.ends.iter().any(|end| end.is(event)) {
                told.judgements.push(Judgement::new(confidence(event), false));
                told.wrong.push(format!("nothing is to be told of this: {event}"));
            }
        }
        // Sockets that are closed now may still send RSTs, which are not part of it.
        drop(self.alive);
        told
    }
}

/// How sure an event's verdict is; not at all, where it has none.
pub(crate) fn confidence(event: &Value) -> Confidence {
    serde_json::from_value(event["verdict"]["confidence"].clone()).unwrap_or(Confidence::Possible)
}
