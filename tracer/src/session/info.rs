//! How a run observes, in words and for JSON.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    host::pid_namespace,
    kernel::{
        loader::Probes,
        preflight,
        probes::{Mechanism, Outcome},
    },
    redact::Secret,
    report::RunInfo,
};

/// How the events are observed.
pub(super) fn of_run(probes: &Probes, redacted: &BTreeSet<Secret>) -> RunInfo {
    RunInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: kernel_release(),
        probes: mechanisms(&probes.outcomes),
        degraded: degraded(probes),
        room: probes.room,
        redacted: redacted.clone(),
    }
}

/// The release of the running kernel.
pub fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_else(|_| "unknown".into())
}

/// What was tried in vain, for a run that sees nothing at all.
pub(super) fn refusals(outcomes: &[Outcome]) -> String {
    let of_one = |outcome: &Outcome| {
        let tried = outcome.refused.iter().map(|(mechanism, reason)| format!("{mechanism}: {reason}"));
        let tried = tried.collect::<Vec<_>>().join(", ");
        format!("{} ({})", outcome.probe.title(), if tried.is_empty() { "no known mechanism" } else { &tried })
    };
    let wanted = outcomes.iter().filter(|outcome| !outcome.probe.is_auxiliary());
    wanted.map(of_one).collect::<Vec<_>>().join("; ")
}

/// The mechanism for each event.
pub(super) fn mechanisms(outcomes: &[Outcome]) -> BTreeMap<String, Option<Mechanism>> {
    let mechanism = |outcome: &Outcome| outcome.chosen.as_ref().map(|(mechanism, _)| *mechanism);
    outcomes.iter().map(|outcome| (outcome.probe.name().to_owned(), mechanism(outcome))).collect()
}

fn degraded(probes: &Probes) -> Vec<String> {
    let by_outcome = probes
        .outcomes
        .iter()
        .flat_map(|outcome| outcome.degraded().into_iter().map(|what| format!("{}: {what}", outcome.probe.title())));
    by_outcome
        .chain(probes.missing_fields.iter().cloned())
        .chain(pid_namespace::notes())
        .chain(preflight::unknown())
        .collect()
}
