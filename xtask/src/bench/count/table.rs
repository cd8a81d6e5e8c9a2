//! The counted results: a table for people, JSON for programs.

use serde_json::{Value, json};

use super::{host::Counted, sample::Sample};
use crate::bench::{stats::median, subject::NONE, table};

const HEADINGS: [&str; 7] = ["SUBJECT", "TOTAL/OP", "SPREAD", "RATIO", "KERNEL/OP", "READER/OP", "LOST"];

/// What the columns mean.
pub(super) const LEGEND: &str = "\
TOTAL/OP: instructions for each operation of the load, whoever executes them; the median of the rounds. SPREAD: the
highest round less the lowest one, in hundredths of the median. RATIO: TOTAL/OP of `none` to this one. KERNEL/OP: what
is added to the operation itself, by the subject's programs and by the kernel that runs them. READER/OP: the part of the
subject's process, which on a machine with several processors may run beside the load. LOST: events, by its own account.";

impl Counted {
    /// The rows' medians, in the order of the subjects: name and instructions for each operation.
    pub(super) fn totals(&self) -> impl Iterator<Item = (&str, f64)> {
        self.subjects.iter().filter_map(|samples| Some((samples.first()?.subject.as_str(), of(samples, Sample::total))))
    }

    /// The untraced subject's.
    fn base(&self) -> Option<f64> {
        self.totals().find(|(subject, _)| *subject == NONE).map(|(_, total)| total)
    }

    /// For people.
    pub(super) fn to_text(&self) -> String {
        let mut rows = vec![HEADINGS.map(str::to_owned).to_vec()];
        rows.extend(self.subjects.iter().filter(|samples| !samples.is_empty()).map(|samples| self.cells(samples)));
        let first = self.subjects.iter().filter_map(|samples| samples.first());
        let means = first.filter_map(|it| Some(format!("{}: {}\n", it.subject, it.means.as_ref()?)));
        let (name, about) = (self.workload.name(), self.workload.about());
        format!("{name}: {about}\n{}{}", table::lay_out(&rows), means.collect::<String>())
    }

    fn cells(&self, samples: &[Sample]) -> Vec<String> {
        let subject = &samples[0].subject;
        let unless_none = |text: String| if subject == NONE { String::new() } else { text };
        let total = of(samples, Sample::total);
        let spread = if samples.len() > 1 { format!("{:.1} %", 100.0 * spread(samples)) } else { String::new() };
        let base = self.base();
        vec![
            subject.clone(),
            format!("{total:.0}"),
            spread,
            base.map_or_else(String::new, |base| format!("{:.3}", base / total)),
            unless_none(base.map_or_else(String::new, |base| format!("{:+.0}", of(samples, Sample::load) - base))),
            unless_none(format!("{:.0}", of(samples, Sample::reader))),
            unless_none(samples.iter().map(|it| it.lost).sum::<u64>().to_string()),
        ]
    }

    /// For programs.
    pub(super) fn all_to_json(all: &[Self], release: &str) -> Value {
        let workloads: Vec<Value> = all.iter().map(Self::to_json).collect();
        json!({ "kernel": release, "unit": "instructions", "workloads": workloads })
    }

    fn to_json(&self) -> Value {
        let each = |samples: &[Sample], what: fn(&Sample) -> f64| samples.iter().map(what).collect::<Vec<_>>();
        let subjects = self.subjects.iter().filter_map(|samples| {
            let first = samples.first()?;
            Some(json!({
                "subject": first.subject,
                "means": first.means,
                "operations": first.operations,
                "total_per_operation": each(samples, Sample::total),
                "load_per_operation": each(samples, Sample::load),
                "reader_per_operation": each(samples, Sample::reader),
                "events": samples.iter().map(|it| it.events).sum::<u64>(),
                "lost": samples.iter().map(|it| it.lost).sum::<u64>(),
            }))
        });
        json!({
            "workload": self.workload.name(),
            "about": self.workload.about(),
            "subjects": subjects.collect::<Vec<_>>(),
        })
    }
}

/// The median of the rounds.
fn of(samples: &[Sample], what: impl Fn(&Sample) -> f64) -> f64 {
    median(&samples.iter().map(what).collect::<Vec<_>>())
}

/// How far the rounds are apart, as a part of their median.
fn spread(samples: &[Sample]) -> f64 {
    let totals = || samples.iter().map(Sample::total);
    (totals().fold(f64::MIN, f64::max) - totals().fold(f64::MAX, f64::min)) / of(samples, Sample::total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::Workload;

    fn sample(subject: &str, elapsed: u64, reader: u64) -> Sample {
        let [workload, subject] = ["refused", subject].map(str::to_owned);
        Sample { workload, subject, operations: 10, elapsed, reader_after: reader, lost: 1, ..Sample::default() }
    }

    fn counted() -> Counted {
        let none = vec![sample(NONE, 1000, 0), sample(NONE, 1000, 0)];
        let trace = vec![sample("trace", 1490, 500), sample("trace", 1510, 500)];
        Counted { workload: Workload::Refused, subjects: vec![none, trace, vec![]] }
    }

    #[test]
    fn the_table_has_a_row_for_each_subject() {
        let text = counted().to_text();
        let cells: Vec<&str> = text.lines().nth(3).expect("a row").split_whitespace().collect();
        assert_eq!(cells, ["trace", "200", "1.0", "%", "0.500", "+50", "50", "2"], "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn json_has_every_round() {
        let value = Counted::all_to_json(&[counted()], "6.12.1");
        let subject = &value["workloads"][0]["subjects"][1];
        assert_eq!(subject["total_per_operation"], json!([199.0, 201.0]));
        assert_eq!(value["kernel"], "6.12.1");
    }
}
