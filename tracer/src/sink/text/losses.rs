//! What was lost, in sentences: while it happens, and at the end.

use std::collections::BTreeMap;

use crate::report::Lost;

/// One sentence for each kind of loss.
pub(super) fn sentences(lost: &Lost) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(records) = counted(&lost.ring_buffer) {
        all.push(format!("lost: {records} records found the ring buffer full (a larger --ring-size helps)"));
    }
    if lost.skipped > 0 {
        all.push(format!("lost: {} events at most that came while their CPU was reporting another one", lost.skipped));
    }
    if let Some(events) = counted(&lost.undecided) {
        all.push(format!(
            "lost: {events} events at most that the filters may want: what they ask for had found no room (a larger \
             --sockets helps)"
        ));
    }
    if lost.decode > 0 {
        all.push(format!("lost: {} records could not be decoded", lost.decode));
    }
    if let Some(what) = counted(&lost.memory) {
        all.push(format!("no room: {what} are not remembered (a larger --sockets helps)"));
    }
    if let Some(events) = counted(&lost.unremembered) {
        all.push(format!("no room: {events} events came without what was before: owner, opening, times"));
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
            "lost: 5 state records found the ring buffer full (a larger --ring-size helps)",
            "lost: 1 records could not be decoded",
            "no room: 2 sockets are not remembered (a larger --sockets helps)",
            "no room: 2 open, 1 rst events came without what was before: owner, opening, times",
        ];
        assert_eq!(sentences(&lost), expected);
    }
}
