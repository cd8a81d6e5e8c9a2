//! Collects what a judgement rests on: facts, and what should have been seen but was not.

use serde_json::{Map, Value};

use crate::report::ScenarioReport;

/// The makings of a [`ScenarioReport`].
#[derive(Debug, Default)]
pub struct Makings {
    facts: Map<String, Value>,
    missing: Vec<String>,
}

impl Makings {
    /// Keeps a named value.
    pub fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// Notes that `what` is not so unless it was `seen`.
    pub fn expect(&mut self, seen: bool, what: impl Into<String>) {
        if !seen {
            self.missing.push(what.into());
        }
    }

    /// The report: with `outcome` and `verdict` if all that was expected was seen, else with what was not.
    pub fn report(mut self, scenario: &'static str, outcome: String, verdict: Vec<String>) -> ScenarioReport {
        let ok = self.missing.is_empty();
        let (outcome, verdict) = if ok {
            (outcome, verdict)
        } else {
            let what = self.missing.join("; ");
            self.facts.insert("missing".to_owned(), self.missing.into());
            (format!("not shown: {what}"), vec!["What the scenario is about was not seen to happen.".to_owned()])
        };
        ScenarioReport { scenario, ok, outcome, facts: self.facts, exhibits: Vec::new(), verdict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_missing_is_enough() {
        let mut findings = Makings::default();
        findings.fact("bytes", 3);
        findings.expect(true, "a");
        let report = findings.report("name", "fine".into(), vec!["yes".into()]);
        assert!(report.ok);
        assert_eq!((report.outcome.as_str(), report.facts["bytes"].as_u64()), ("fine", Some(3)));

        let mut findings = Makings::default();
        findings.expect(false, "no SYN was seen");
        findings.expect(false, "no RST was seen");
        let report = findings.report("name", "fine".into(), vec!["yes".into()]);
        assert!(!report.ok);
        assert_eq!(report.outcome, "not shown: no SYN was seen; no RST was seen");
        assert_eq!(report.facts["missing"][1], "no RST was seen");
    }
}
