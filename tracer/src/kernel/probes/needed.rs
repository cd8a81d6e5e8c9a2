//! Which probes an event needs.

use std::collections::BTreeSet;

use super::Probe;
use crate::event::kind::Kind;

/// What has to be observed for all of `kinds`.
pub fn needed(kinds: &BTreeSet<Kind>) -> BTreeSet<Probe> {
    let mut probes: BTreeSet<_> = kinds.iter().flat_map(|kind| of(*kind)).copied().collect();
    if probes.contains(&Probe::State) {
        probes.extend([Probe::Accept, Probe::Existing, Probe::Release]);
    }
    if kinds.iter().any(|kind| kind.has_verdicts()) {
        probes.insert(Probe::End);
    }
    probes
}

/// What has to be observed for it. State changes tell whose a socket is and what it went through.
fn of(kind: Kind) -> &'static [Probe] {
    match kind {
        Kind::State | Kind::Open => &[Probe::State],
        // Which way the RST went that ended it.
        Kind::Close => &[Probe::State, Probe::RstReceived],
        Kind::Rst => {
            &[Probe::State, Probe::RstSentPassive, Probe::RstSentActive, Probe::RstFirewall, Probe::RstReceived]
        }
        // What did reset a socket is told from it by the probe for that.
        Kind::Stray => &[Probe::State, Probe::RstReceived, Probe::RstStray],
        Kind::Lookup => &[Probe::State, Probe::LookupEhash, Probe::LookupListener],
        Kind::Raw => &[Probe::RawSend],
        Kind::Overflow => &[Probe::State, Probe::AcceptQueue],
    }
}
