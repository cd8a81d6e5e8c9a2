//! Confidence per cause: of this run, and as `docs/causes.md` has it.

use std::{collections::BTreeMap, fmt::Write, io::Write as _};

use tracer::{
    event::Confidence,
    pipeline::diagnose::{causes, deaths, queue},
};

use super::Outcome;

const DOCUMENTED: &str = include_str!("../../../../docs/causes.md");

/// No scenario brings it about.
const NOT_PLAYED: &str = "not played";
/// This kernel could not play it.
const NOT_SEEN: &str = "not seen";
/// It was played, and told as something else that is allowed.
const OTHERWISE: &str = "told as another cause";

/// What was expected and what was told, with how many of each confidence.
pub(super) fn confusion(outcomes: &[Outcome]) -> String {
    let mut counts: BTreeMap<(&str, &str), BTreeMap<Confidence, usize>> = BTreeMap::new();
    for Outcome { scenario, told, .. } in outcomes {
        for told in told.iter().flatten() {
            *counts.entry((scenario.cause, &told.cause)).or_default().entry(told.confidence).or_default() += 1;
        }
    }
    let mut text = format!("{:20} {:20} RSTs\n", "played", "told");
    for ((played, told), confidences) in counts {
        let cells: Vec<_> = confidences.iter().map(|(confidence, count)| format!("{count} {confidence}")).collect();
        let mark = if played == told { ' ' } else { '!' };
        let _ = writeln!(text, "{played:20} {told:20} {} {mark}", cells.join(", "));
    }
    text
}

/// The least sure of a cause's right verdicts.
fn cell(outcomes: &[Outcome], cause: &str) -> String {
    let of_cause = || outcomes.iter().filter(|outcome| outcome.scenario.cause == cause);
    if of_cause().next().is_none() {
        return NOT_PLAYED.to_owned();
    }
    if of_cause().all(Outcome::is_lacking) {
        return NOT_SEEN.to_owned();
    }
    let told = of_cause().flat_map(Outcome::told).filter(|told| told.cause == cause);
    told.map(|told| told.confidence).min().map_or_else(|| OTHERWISE.to_owned(), |least| least.to_string())
}

/// What differs from the table, which has all causes and, in this kernel's column (if it has one), what was found. An
/// empty cell allows anything.
pub(super) fn differences(outcomes: &[Outcome]) -> Vec<String> {
    let rows: BTreeMap<&str, Vec<&str>> = rows().collect();
    let kernel = kernel();
    let column = rows["cause"].iter().position(|cell| *cell == kernel);
    let ids = causes::ALL
        .iter()
        .map(|cause| cause.id)
        .chain(deaths::ALL.iter().map(|death| death.id))
        .chain([queue::FULL.id]);
    let found: Vec<_> = ids.map(|id| (id, cell(outcomes, id))).collect();
    // To fill the column in from.
    let line: Vec<_> = found.iter().map(|(cause, cell)| format!("{cause}={cell}")).collect();
    let mut shown = std::io::stdout();
    writeln!(shown, "causes on {kernel}: {}", line.join(", ")).unwrap();
    let mut wrong = Vec::new();
    for (cause, found) in found {
        let Some(row) = rows.get(cause) else {
            wrong.push(format!("{cause} is not in the table"));
            continue;
        };
        let documented = column.map_or("", |column| row[column]);
        // What a kernel of this version was built without is no fault of the table's.
        if !documented.is_empty() && found != documented && found != NOT_SEEN {
            wrong.push(format!("{cause} is {found} on {kernel}, documented as {documented}"));
        }
    }
    wrong
}

/// This kernel's version, as the table has it.
pub(super) fn kernel() -> String {
    let release = nix::sys::utsname::uname().expect("the kernel has a name").release().to_string_lossy().into_owned();
    release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

/// The table's lines: the first cell, and the others.
fn rows() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let lines = DOCUMENTED.lines().filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'));
    lines.filter_map(|line| {
        let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`'));
        Some((cells.next()?, cells.collect()))
    })
}
