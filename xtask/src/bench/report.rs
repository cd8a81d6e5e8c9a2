//! The results: a table for people, JSON for programs.

use serde_json::{Value, json};

use super::{
    load::Workload,
    measure::Row,
    stats::{Spread, median, ratios},
    subject::NONE,
    table,
};

const HEADINGS: [&str; 9] =
    ["SUBJECT", "OPS/S", "RATIO", "QUARTILES", "KERNEL NS/OP", "NS/CHANGE", "READER S/M", "PEAK MIB", "LOST"];
const ATTACH: &str = "ATTACH MS";

/// What the columns mean.
pub(super) const LEGEND: &str = "\
RATIO: operations per second to those of `none` in the same round, the median; QUARTILES: their middle half.
KERNEL NS/OP: time of all the subject's eBPF programs for each operation of the load; NS/CHANGE: the same for
each state change of a socket. READER S/M: processor seconds of the subject for a million events that it shows.
PEAK MIB: its memory. LOST: events, by its own account. ATTACH MS: from its start until it reports.
Below each table: by what means this tracer observed. What it does not observe costs nothing.";

/// All subjects under one load.
pub(super) struct Results {
    pub(super) workload: Workload,
    pub(super) rows: Vec<Row>,
}

impl Results {
    fn ratios(&self, row: &Row) -> Vec<f64> {
        let base = self.rows.iter().find(|row| row.subject == NONE);
        base.map_or_else(Vec::new, |base| ratios(&row.rates, &base.rates))
    }

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
        format!("{name}: {about}\n{}{}", table::lay_out(&rows), means.collect::<String>())
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let spread = Spread::of(&self.ratios(row));
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
        let ratio = Spread::of(&self.ratios(row));
        json!({
            "subject": row.subject,
            "means": row.means,
            "operations_per_second": row.rates,
            "ratio": ratio.map(|it| json!({ "low": it.low, "median": it.median, "high": it.high })),
            "kernel_ns_per_operation": row.kernel_ns,
            "kernel_ns_per_change": self.per_change(row),
            "reader_seconds": row.cpu,
            "reader_seconds_per_million_events": row.per_million(),
            "events": row.events,
            "lost": row.lost,
            "peak_kib": row.peak_kib,
            "attach_seconds": row.attach,
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
        let none = Row { subject: NONE, rates: vec![100.0, 200.0], ..Row::default() };
        let trace = Row {
            subject: "trace",
            rates: vec![90.0, 190.0],
            attach: vec![0.1, 0.1],
            kernel_ns: vec![600.0],
            cpu: 0.5,
            events: 1_000_000,
            lost: 3,
            peak_kib: 2048,
            means: Some("lookup not observed, state tp_btf".to_owned()),
        };
        Results { workload: Workload::ChurnRst, rows: vec![none, trace] }
    }

    #[test]
    fn the_table_has_a_row_for_each_subject() {
        let text = results().to_text();
        let cells: Vec<&str> = text.lines().nth(3).expect("a row").split_whitespace().collect();
        let expected = ["trace", "140", "0.925", "0.912-0.938", "600", "100", "0.50", "2.0", "3", "100"];
        assert_eq!(cells, expected, "{text}");
        assert_eq!(text.lines().last(), Some("trace: lookup not observed, state tp_btf"));
    }

    #[test]
    fn json_has_what_the_table_is_made_of() {
        let value = results().to_json();
        assert_eq!(value["subjects"][1]["kernel_ns_per_change"], 100.0);
        assert_eq!(value["subjects"][0]["ratio"]["median"], 1.0);
        assert!(value["subjects"][0]["reader_seconds_per_million_events"].is_null());
    }
}
