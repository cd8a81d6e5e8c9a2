//! The demo's answer to "can TCP connect without listen()?", from what was seen.

use crate::demo::scenario::Script;
use crate::demo::scenarios::{
    raw_handshake::RawHandshake, raw_handshake_filtered::RawHandshakeFiltered, self_connect::SelfConnect,
    simultaneous_open::SimultaneousOpen,
};
use crate::report::ScenarioReport;

const QUESTION: &str = "Can TCP connect without listen()?";

/// A few lines; what was not played, or not seen, is not claimed.
pub fn summary_lines(reports: &[ScenarioReport]) -> Vec<String> {
    let seen = |name: &str| reports.iter().any(|report| report.scenario == name && report.ok);
    let alone = seen(SelfConnect::NAME);
    let both = seen(SimultaneousOpen::NAME);
    let reset = seen(RawHandshake::NAME);
    let filtered = seen(RawHandshakeFiltered::NAME);

    let mut lines = vec![match (alone, both) {
        (true, true) => format!("{QUESTION} Yes: one socket connected to itself, and two hosts to each other."),
        (true, false) => format!("{QUESTION} Yes: one socket connected to itself."),
        (false, true) => format!("{QUESTION} Yes: two hosts connected to each other."),
        (false, false) => format!("{QUESTION} This run has not shown it."),
    }];
    if alone || both {
        lines.push(
            "connect() puts its socket in the established hash, so the segment that comes back finds it: no listener \
             is needed."
                .to_owned(),
        );
    }
    if reset {
        lines.push(
            "A raw socket is in no table: the segment that comes back finds nothing, and the kernel resets it."
                .to_owned(),
        );
    }
    if filtered {
        lines.push(
            "Dropping that RST deceives the other host; the kernel that sent the SYN still has no connection."
                .to_owned(),
        );
    }
    let failed: Vec<&str> = reports.iter().filter(|report| !report.ok).map(|report| report.scenario).collect();
    if !failed.is_empty() {
        lines.push(format!("Not shown as it should be: {}.", failed.join(", ")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(scenario: &'static str, ok: bool) -> ScenarioReport {
        ScenarioReport {
            scenario,
            ok,
            outcome: String::new(),
            facts: serde_json::Map::new(),
            exhibits: Vec::new(),
            verdict: Vec::new(),
        }
    }

    #[test]
    fn claims_only_what_was_seen() {
        let all = [SelfConnect::NAME, SimultaneousOpen::NAME, RawHandshake::NAME, RawHandshakeFiltered::NAME];
        let lines = summary_lines(&all.map(|name| report(name, true)));
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("Can TCP connect without listen()? Yes: one socket connected to itself, and two"));

        let lines = summary_lines(&[report(SelfConnect::NAME, false), report(RawHandshake::NAME, true)]);
        assert_eq!(lines[0], "Can TCP connect without listen()? This run has not shown it.");
        assert_eq!(lines[2], "Not shown as it should be: self-connect.");
    }
}
