//! Why something happened, as a rule has found it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Confidence of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The evidence allows other causes too.
    Possible,
    /// The cause explains the evidence best.
    Likely,
    /// The evidence allows nothing else.
    Certain,
}

impl std::fmt::Display for Confidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        })
    }
}

/// A piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Evidence {
    /// The statement.
    pub text: String,
    /// True if it was inferred from observations; false if it was observed.
    pub inferred: bool,
}

// What is long is shared: the verdict on a RST that is sent is that on the same one when it comes.
/// Why a RST was sent or received, or why a connection failed without one.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Verdict {
    /// Identifier of the cause, see `tracer rst --causes`.
    pub cause: &'static str,
    /// The cause in a few words.
    pub title: &'static str,
    /// Confidence of the verdict.
    pub confidence: Confidence,
    /// This case in one sentence.
    pub summary: Arc<str>,
    /// The evidence for the verdict.
    pub evidence: Arc<[Evidence]>,
    /// What to do.
    pub remedy: &'static str,
    /// True if the peer is on this host, and the verdict is on the RST that it sent.
    pub of_peer: bool,
}
