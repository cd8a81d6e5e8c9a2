//! The results: a table for people, JSON for programs.

use serde_json::{Value, json};

use super::{
    load::Workload,
    measure::Row,
    stats::{Spread, median},
    subject::NONE,
    table,
};

const HEADINGS: [&str; 9] =
    ["SUBJECT", "OPS/S", "RATIO", "QUARTILES", "KERNEL NS/OP", "NS/CHANGE", "READER S/M", "PEAK MIB", "LOST"];
const ATTACH: &str = "ATTACH MS";

/// What the columns mean.
pub(super) const LEGEND: &str = "\
RATIO: operations per second to the mean of the untraced turns right before and right after, the median; of `none`, to
the turn before: what the machine does by itself. QUARTILES: their middle half.
KERNEL NS/OP: time of all the subject's eBPF programs for each operation of the load; NS/CHANGE: the same for
each state change of a socket. READER S/M: processor seconds of the subject for a million events that it shows.
PEAK MIB: its memory. LOST: events, by its own account. ATTACH MS: from its start until it reports.
Below each table: by what means this tracer observed. What it does not observe costs nothing.";

/// All subjects under one load.
pub(super) struct Results {
    pub(super) workload: Workload,
    /// The processor, which no figure means anything without.
    pub(super) machine: String,
    pub(super) rows: Vec<Row>,
}

impl Results {
    /// The kernel's time for a state change, where the load makes any.
    fn per_change(&self, row: &Row) -> Option<f64> {
        let changes = self.workload.changes();
        (changes > 0 && !row.kernel_ns.is_empty()).then(|| median(&row.kernel_ns) / changes as f64)
    }

    pub(super) fn to_text(&self) -> String {
        let mut rows = vec![HEADINGS.into_iter().chain([ATTACH]).map(str::to_owned).collect()];
        rows.extend(self.rows.iter().map(|row| self.cells(row)));
        let (name, about) = (self.workload.name(), self.workload.about());
        let means = self.rows.iter().filter_map(|row| Some(format!("{}: {}\n", row.subject, row.means.as_ref()?)));
        let table = table::lay_out(&rows);
        format!("{name}: {about}\non {}\n{table}{}{}", self.machine, means.collect::<String>(), self.thrown())
    }

    /// What was measured in vain.
    fn thrown(&self) -> String {
        let sum = |what: fn(&Row) -> usize| self.rows.iter().map(what).sum::<usize>();
        let (thrown, disturbed) = (sum(|row| row.thrown), sum(|row| row.disturbed));
        match thrown {
            // A soak has but one turn, which it does not judge.
            _ if self.rows.iter().all(|row| row.ratios.is_empty()) => String::new(),
            0 => "no turn was disturbed: at no time did the machine lose its processors\n".to_owned(),
            _ => format!(
                "the machine lost its processors meanwhile: {thrown} thrown away and repeated, \
                 {disturbed} kept though disturbed\n"
            ),
        }
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let spread = Spread::of(&row.ratios);
        let is_none = row.subject == NONE;
        let unless_none = |text: String| if is_none { String::new() } else { text };
        vec![
            row.subject.to_owned(),
            format!("{:.0}", median(&row.rates)),
            spread.map_or_else(String::new, |it| format!("{:.3}", it.median)),
            spread.map_or_else(String::new, |it| format!("{:.3}-{:.3}", it.low, it.high)),
            if row.kernel_ns.is_empty() { String::new() } else { format!("{:.0}", median(&row.kernel_ns)) },
            self.per_change(row).map_or_else(String::new, |ns| format!("{ns:.0}")),
            row.per_million().map_or_else(String::new, |seconds| format!("{seconds:.2}")),
            unless_none(format!("{:.1}", row.peak_kib as f64 / 1024.0)),
            unless_none(row.lost.to_string()),
            unless_none(format!("{:.0}", 1000.0 * median(&row.attach))),
        ]
    }

    pub(super) fn to_json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(|row| self.row(row)).collect();
        json!({ "workload": self.workload.name(), "about": self.workload.about(), "subjects": rows })
    }

    fn row(&self, row: &Row) -> Value {
        let ratio = Spread::of(&row.ratios);
        json!({
            "subject": row.subject,
            "means": row.means,
            "operations_per_second": row.rates,
            "ratios": row.ratios,
            "ratio": ratio.map(|it| json!({ "low": it.low, "median": it.median, "high": it.high })),
            "kernel_ns_per_operation": row.kernel_ns,
            "kernel_ns_per_change": self.per_change(row),
            "reader_seconds": row.cpu,
            "reader_seconds_per_million_events": row.per_million(),
            "events": row.events,
            "lost": row.lost,
            "peak_kib": row.peak_kib,
            "attach_seconds": row.attach,
            "turns_thrown_away": row.thrown,
            "turns_disturbed": row.disturbed,
        })
    }
}

impl Row {
    /// Seconds of the reader for a million events; none where it showed too few to tell.
    fn per_million(&self) -> Option<f64> {
        const FEW: u64 = 10_000;
        (self.events >= FEW).then(|| self.cpu * 1e6 / self.events as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let none = Row { subject: NONE, rates: vec![100.0, 200.0], ratios: vec![1.0], ..Row::default() };
        let trace = Row {
            subject: "trace",
            rates: vec![90.0, 190.0],
            ratios: vec![0.9, 0.95],
            thrown: 2,
            disturbed: 1,
            attach: vec![0.1, 0.1],
            kernel_ns: vec![600.0],
            cpu: 0.5,
            events: 1_000_000,
            lost: 3,
            peak_kib: 2048,
            means: Some("lookup not observed, state tp_btf".to_owned()),
        };
        Results { workload: Workload::ChurnRst, machine: "2 cores of Fast CPU".to_owned(), rows: vec![none, trace] }
    }

    #[test]
    fn the_table_has_a_row_for_each_subject() {
        let text = results().to_text();
        let cells: Vec<&str> = text.lines().nth(4).expect("a row").split_whitespace().collect();
        let expected = ["trace", "140", "0.925", "0.912-0.938", "600", "100", "0.50", "2.0", "3", "100"];
        assert_eq!(cells, expected, "{text}");
        assert_eq!(text.lines().nth(5), Some("trace: lookup not observed, state tp_btf"));
        assert!(text.lines().nth(1).is_some_and(|line| line.contains("Fast CPU")), "{text}");
        assert!(text.ends_with("2 thrown away and repeated, 1 kept though disturbed\n"), "{text}");
    }

    #[test]
    fn json_has_what_the_table_is_made_of() {
        let value = results().to_json();
        assert_eq!(value["subjects"][1]["kernel_ns_per_change"], 100.0);
        assert_eq!(value["subjects"][0]["ratio"]["median"], 1.0);
        assert!(value["subjects"][0]["reader_seconds_per_million_events"].is_null());
    }
}
