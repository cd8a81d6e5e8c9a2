//! The guard: fails where a load costs more instructions than the checked-in figure.

use std::{collections::BTreeMap, env, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use super::{
    KERNEL, WORKLOADS,
    figures::{Figures, MadeOf, PLACE, RENEW, Verdict},
    host::{Counted, Machines},
};
use crate::{
    bench::subject::{self, NONE, Subject},
    build::{self, Profile},
    process, setup,
    workspace::Workspace,
};

/// Without the tracer; with what most people ask for; and with verdicts. Each has to be verified on an emulated processor,
/// and the step is not to take longer than what it guards is worth.
const SUBJECTS: [&str; 3] = [NONE, "trace", "rst"];

/// One step of `ci`: builds the tracer, counts and compares.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let tracer = build::tracer(workspace, Profile::Release)?;
    check_with(workspace, &tracer, 1)
}

/// Counts and compares.
pub(super) fn check_with(workspace: &Workspace, tracer: &Path, rounds: u32) -> Result<()> {
    let figures = Figures::read(&workspace.root)?;
    let (counted, made_of) = count(workspace, tracer, rounds)?;
    let report = Report::of(&counted, &figures)?;
    for line in &report.lines {
        println!("{line}");
    }
    if made_of != figures.made_of {
        println!("the figures are of {}", in_words(&figures.made_of));
        println!("this run is of {}", in_words(&made_of));
    }
    if report.has_less {
        println!("some loads cost less than {PLACE} says: `{RENEW}` makes that the new measure");
    }
    if report.has_more {
        bail!("some loads cost more than {PLACE} says; if that is meant, `{RENEW}` writes it anew");
    }
    Ok(())
}

/// Counts, and writes what came of it.
pub(super) fn renew(workspace: &Workspace, tracer: &Path, rounds: u32) -> Result<()> {
    let (counted, made_of) = count(workspace, tracer, rounds)?;
    let instructions = counted.iter().map(|it| {
        let figures = it.totals().map(|(subject, total)| (subject.to_owned(), total.round() as u64));
        (it.workload.name().to_owned(), figures.collect::<BTreeMap<_, _>>())
    });
    Figures { made_of, instructions: instructions.collect() }.write(&workspace.root)?;
    println!("{PLACE} is written");
    Ok(())
}

fn count(workspace: &Workspace, tracer: &Path, rounds: u32) -> Result<(Vec<Counted>, MadeOf)> {
    let subjects: Vec<&'static Subject> = subject::ALL.iter().filter(|it| SUBJECTS.contains(&it.name)).collect();
    let machines = Machines::provide(workspace, KERNEL, tracer, &subjects)?;
    let made_of = MadeOf {
        kernel: machines.release(),
        programs_compiler: version(&setup::find_or_install(workspace)?.compiler.rustc)?,
        tracer_compiler: version(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()).as_ref())?,
    };
    Ok((machines.count(&WORKLOADS, rounds)?, made_of))
}

/// `rustc 1.95.0`, without what follows in brackets.
fn version(rustc: &Path) -> Result<String> {
    let said = process::capture(Command::new(rustc).arg("--version"))?;
    let name = said.split_once('(').map_or(&*said, |(name, _)| name);
    Ok(name.trim_end().to_owned())
}

fn in_words(MadeOf { kernel, programs_compiler, tracer_compiler }: &MadeOf) -> String {
    format!("Linux {kernel}, programs by {programs_compiler}, tracer by {tracer_compiler}")
}

/// What the comparison says.
#[derive(Debug, Default)]
struct Report {
    lines: Vec<String>,
    has_less: bool,
    has_more: bool,
}

impl Report {
    fn of(counted: &[Counted], figures: &Figures) -> Result<Self> {
        let mut report = Self::default();
        for counted in counted {
            let workload = counted.workload.name();
            for (subject, total) in counted.totals() {
                let figure = figures.get(workload, subject);
                let figure = figure.with_context(|| {
                    format!("{PLACE} has no figure for {subject} under {workload}: `{RENEW}` writes it")
                })?;
                report.add(&format!("{workload}, {subject}"), total, figure);
            }
        }
        Ok(report)
    }

    fn add(&mut self, what: &str, total: f64, figure: u64) {
        let remark = match Verdict::of(total, figure) {
            Verdict::Same => String::new(),
            Verdict::Less(by) => {
                self.has_less = true;
                format!(": {:.1} % less", 100.0 * by)
            }
            Verdict::More(by) => {
                self.has_more = true;
                format!(": {:.1} % MORE", 100.0 * by)
            }
        };
        self.lines.push(format!("{what}: {total:.0} instructions for each operation, figure {figure}{remark}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{count::sample::Sample, load::Workload};

    fn counted(elapsed: u64) -> Vec<Counted> {
        let sample = Sample {
            workload: "refused".into(),
            subject: "trace".into(),
            operations: 10,
            elapsed,
            ..Sample::default()
        };
        vec![Counted { workload: Workload::Refused, subjects: vec![vec![sample]] }]
    }

    fn figures() -> Figures {
        let made_of =
            MadeOf { kernel: String::new(), programs_compiler: String::new(), tracer_compiler: String::new() };
        let trace = BTreeMap::from([("trace".to_owned(), 1000)]);
        Figures { made_of, instructions: BTreeMap::from([("refused".to_owned(), trace)]) }
    }

    #[test]
    fn more_fails_and_less_is_a_hint() -> Result<()> {
        let verdict = |elapsed| Report::of(&counted(elapsed), &figures()).map(|it| (it.has_less, it.has_more));
        assert_eq!(verdict(10_400)?, (false, false));
        assert_eq!(verdict(10_600)?, (false, true));
        assert_eq!(verdict(9_000)?, (true, false));
        Ok(())
    }

    #[test]
    fn a_figure_that_is_missing_is_told_with_the_remedy() {
        let figures = Figures { instructions: BTreeMap::new(), ..figures() };
        let error = Report::of(&counted(1), &figures).unwrap_err().to_string();
        assert!(error.contains("trace under refused") && error.contains(RENEW), "{error}");
    }

    #[test]
    fn the_checked_in_figures_are_of_what_is_measured() -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the checkout")?;
        let figures = Figures::read(root)?;
        let mut names: Vec<&str> = WORKLOADS.map(Workload::name).to_vec();
        names.sort_unstable();
        assert!(figures.instructions.keys().eq(names), "{figures:?}");
        let mut subjects = SUBJECTS;
        subjects.sort_unstable();
        for figures in figures.instructions.values() {
            assert!(figures.keys().eq(subjects), "{figures:?}");
        }
        Ok(())
    }
}
