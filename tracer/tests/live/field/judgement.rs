//! What verdicts are worth, and how many there were of each kind.

use std::fmt;

use tracer::event::Confidence;

/// What a verdict is worth to who acts on it, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    RightAndCertain,
    RightAndLikely,
    /// It says of itself that other causes would look the same.
    Undecided,
    Wrong,
    WrongAndCertain,
}

impl Judgement {
    const ALL: [(Self, &str); 5] = [
        (Self::RightAndCertain, "right and certain"),
        (Self::RightAndLikely, "right and likely"),
        (Self::Undecided, "undecided"),
        (Self::Wrong, "wrong"),
        (Self::WrongAndCertain, "wrong and certain"),
    ];

    pub(crate) fn new(confidence: Confidence, is_right: bool) -> Self {
        match (confidence, is_right) {
            (Confidence::Certain, true) => Self::RightAndCertain,
            (Confidence::Likely, true) => Self::RightAndLikely,
            (Confidence::Possible, true) => Self::Undecided,
            (Confidence::Likely | Confidence::Possible, false) => Self::Wrong,
            (Confidence::Certain, false) => Self::WrongAndCertain,
        }
    }
}

/// How many verdicts were what.
#[derive(Default)]
pub(crate) struct Score([usize; Judgement::ALL.len()]);

impl Score {
    pub(crate) fn add(&mut self, judgement: Judgement) {
        self.0[judgement as usize] += 1;
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells: Vec<_> =
            Judgement::ALL.iter().zip(self.0).map(|((_, name), count)| format!("{count} {name}")).collect();
        f.write_str(&cells.join(", "))
    }
}
