//! Why a RST was sent or came: from what was observed of it, of its socket and of its two ends before, to a
//! [`Verdict`]. Pure: the same evidence gives the same verdict, live or of a recording.
//!
//! Each cause is a constant in a file of [`causes`], with its rule and its remedy; [`causes::ALL`] lists them
//! in the order in which they are asked. [`Diagnoser`] remembers what rules need to know of other events.

use crate::event::{Confidence, Evidence, Verdict};

mod actor;
mod case;
pub mod causes;
pub mod deaths;
mod diagnoser;
mod join;
pub mod queue;
pub mod reason;
mod sight;
#[cfg(test)]
pub(crate) mod tests;
mod waiting;
mod watch;

pub use self::{
    case::{Case, Earlier, Sender},
    diagnoser::{Diagnoser, SURELY_NS},
    watch::Watch,
};

/// A cause of RSTs, with the rule that recognises it.
pub struct Cause {
    /// Stable identifier.
    pub id: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// What the evidence says; `None` if it was something else.
    rule: fn(&Case<'_>) -> Option<Finding>,
}

impl std::fmt::Debug for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

/// What a rule found.
#[derive(Debug)]
struct Finding {
    confidence: Confidence,
    summary: String,
    evidence: Vec<Evidence>,
}

impl Finding {
    fn new(confidence: Confidence, summary: impl Into<String>) -> Self {
        Self { confidence, summary: summary.into(), evidence: Vec::new() }
    }

    fn certain(summary: impl Into<String>) -> Self {
        Self::new(Confidence::Certain, summary)
    }

    fn likely(summary: impl Into<String>) -> Self {
        Self::new(Confidence::Likely, summary)
    }

    fn possible(summary: impl Into<String>) -> Self {
        Self::new(Confidence::Possible, summary)
    }

    fn observed(mut self, text: impl Into<String>) -> Self {
        self.evidence.push(Evidence { text: text.into(), inferred: false });
        self
    }

    /// The verdict of the cause with these texts.
    fn into_verdict(self, cause: &'static str, title: &'static str, remedy: &'static str) -> Verdict {
        let Self { confidence, summary, evidence } = self;
        Verdict { cause, title, confidence, summary: summary.into(), evidence: evidence.into(), remedy, of_peer: false }
    }

    fn inferred(mut self, text: impl Into<String>) -> Self {
        self.evidence.push(Evidence { text: text.into(), inferred: true });
        self
    }
}

/// The verdict on a case: that of the first cause whose rule applies. The last one always does.
pub fn diagnose(case: &Case<'_>) -> Option<Verdict> {
    causes::ALL.iter().find_map(|cause| {
        let mut found = (cause.rule)(case)?;
        found.evidence.splice(..0, case.observations());
        Some(found.into_verdict(cause.id, cause.title, cause.remedy))
    })
}
