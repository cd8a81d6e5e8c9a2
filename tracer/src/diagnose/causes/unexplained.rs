//! What no rule knows.

use super::super::{Cause, Finding};

pub(super) const UNEXPLAINED: Cause = Cause {
    id: "unexplained",
    title: "no rule knows this one",
    remedy: "the kernel functions that led to it are in the event (`stack`): they tell more; please report it",
    rule: |case| {
        let reason = case.reason();
        let reason = if reason.is_empty() { "no reason named".to_owned() } else { format!("reason {reason}") };
        Some(Finding::possible(format!("a RST of {} with {reason}", case.event.local)))
    },
};
