//! What was lost, in sentences: while it happens, and at the end.

use std::collections::BTreeMap;

use crate::report::Lost;

/// One sentence for each kind of loss.
pub(super) fn sentences(lost: &Lost) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(records) = counted(&lost.ring_buffer) {
        all.push(format!("lost: {records} records, because the ring buffer was full (increase --ring-size)"));
    }
    if lost.skipped > 0 {
        all.push(format!("lost: up to {} events: the BPF program was already running on that CPU", lost.skipped));
    }
    if let Some(events) = counted(&lost.undecided) {
        all.push(format!(
            "lost: up to {events} events: the filters could not decide, because the socket table was full (increase \
             --sockets)"
        ));
    }
    if lost.decode > 0 {
        all.push(format!("lost: {} records could not be decoded", lost.decode));
    }
    if let Some(what) = counted(&lost.memory) {
        all.push(format!("table full: {what} are not tracked (increase --sockets)"));
    }
    if let Some(events) = counted(&lost.unremembered) {
        all.push(format!("table full: {events} events lack owner, opening or times"));
    }
    all
}

/// `3 rst, 5 state`; none where all are 0.
fn counted(counts: &BTreeMap<String, u64>) -> Option<String> {
    let counts = counts.iter().filter(|(_, count)| **count > 0).map(|(name, count)| format!("{count} {name}"));
    let text = counts.collect::<Vec<_>>().join(", ");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_said() {
        assert!(sentences(&Lost::default()).is_empty());
        let mut lost = Lost { decode: 1, ..Lost::default() };
        lost.ring_buffer = [("rst".into(), 0), ("state".into(), 5)].into();
        lost.memory = [("sockets".into(), 2)].into();
        lost.unremembered = [("open".into(), 2), ("rst".into(), 1)].into();
        let expected = [
            "lost: 5 state records, because the ring buffer was full (increase --ring-size)",
            "lost: 1 records could not be decoded",
            "table full: 2 sockets are not tracked (increase --sockets)",
            "table full: 2 open, 1 rst events lack owner, opening or times",
        ];
        assert_eq!(sentences(&lost), expected);
    }
}
