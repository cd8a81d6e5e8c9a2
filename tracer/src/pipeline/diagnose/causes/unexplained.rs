//! RSTs that match no other cause.

use super::super::{Cause, Finding};

pub(super) const UNEXPLAINED: Cause = Cause {
    id: "unexplained",
    title: "no known cause matched",
    remedy: "the event lists the kernel functions that led to it (`stack`), which tell more; please report it",
    rule: |case| {
        let reason = case.reason();
        let reason = if reason.is_empty() { "no reason named".to_owned() } else { format!("reason {reason}") };
        Some(Finding::possible(format!("RST of {}, {reason}", case.event.local)))
    },
};
