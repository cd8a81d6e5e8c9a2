//! The figures that are checked in, and how far what was measured may be from them.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// Where they are, from the checkout's root.
pub(super) const PLACE: &str = "xtask/counts.json";

/// The command that writes them.
pub(super) const RENEW: &str = "cargo xtask bench --count --renew";

/// More by this part fails, less by this part is worth a hint.
const TOLERANCE: f64 = 0.05;

/// What the file says of itself, since JSON has no comments.
const ABOUT: [&str; 8] = [
    "Instructions for each operation of a load (by load, then by subject): `cargo xtask ci` fails where there are 5 %",
    "more. `cargo xtask bench --count --renew` writes this file, `cargo xtask bench --count --check` compares with it.",
    "They are counted in a virtual machine whose clock counts instructions: the processor below does not matter.",
    "What matters beside the tracer: the kernel's build, since the operation itself is counted; the compiler and linker",
    "of the eBPF programs; the compiler of the tracer, whose reader is counted; and the C library that it is linked",
    "with. Where one of these has changed and `none` has not, a difference of a few hundredths may be theirs.",
    "Where `none` has changed, the kernel or the load has. Renew in a commit of its own then, without a change to the",
    "tracer, so that the next difference is the tracer's again.",
];

/// Instructions by subject.
type BySubject = BTreeMap<String, u64>;

/// All that is in the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figures {
    /// Instructions for each operation, by load.
    pub(super) instructions: BTreeMap<String, BySubject>,
    pub(super) made_of: MadeOf,
}

/// What the figures depend on beside the tracer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MadeOf {
    /// The guest's release.
    pub(super) kernel: String,
    /// Of the eBPF programs.
    pub(super) programs_compiler: String,
    /// Of the tracer.
    pub(super) tracer_compiler: String,
}

/// How a measured cost is to the figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Same,
    /// By this part of the figure.
    Less(f64),
    /// By this part of the figure.
    More(f64),
}

impl Verdict {
    /// Compares what was measured with a figure.
    pub(super) fn of(measured: f64, figure: u64) -> Self {
        let change = measured / figure as f64 - 1.0;
        match change {
            _ if change > TOLERANCE => Self::More(change),
            _ if change < -TOLERANCE => Self::Less(-change),
            _ => Self::Same,
        }
    }
}

impl Figures {
    /// Reads the checked-in ones.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(PLACE)).with_context(|| format!("cannot read {PLACE}"))?;
        Self::parse(&text).with_context(|| format!("{PLACE} is not as `{RENEW}` writes it"))
    }

    /// Writes them.
    pub(super) fn write(&self, root: &Path) -> Result<()> {
        fs::write(root.join(PLACE), self.to_text()?).with_context(|| format!("cannot write {PLACE}"))
    }

    /// The figure of a subject under a load.
    pub(super) fn get(&self, workload: &str, subject: &str) -> Option<u64> {
        self.instructions.get(workload)?.get(subject).copied()
    }

    fn parse(text: &str) -> Result<Self> {
        Ok(serde_json::from_str(text)?)
    }

    fn to_text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&File { about: &ABOUT, figures: self })? + "\n")
    }
}

/// The file, which also says what it is.
#[derive(Serialize)]
struct File<'a> {
    about: &'a [&'static str],
    #[serde(flatten)]
    figures: &'a Figures,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() -> Result<()> {
        let made_of = MadeOf {
            kernel: "6.12.1".into(),
            programs_compiler: "rustc 1.96.0".into(),
            tracer_compiler: "rustc 1.95.0".into(),
        };
        let instructions = BTreeMap::from([("refused".to_owned(), BTreeMap::from([("trace".to_owned(), 93_632)]))]);
        let figures = Figures { made_of, instructions };
        assert_eq!(Figures::parse(&figures.to_text()?)?, figures);
        assert_eq!(figures.get("refused", "trace"), Some(93_632));
        assert_eq!(figures.get("refused", "rst"), None);
        assert!(Figures::parse("{}").is_err());
        Ok(())
    }

    #[test]
    fn the_checked_in_file_is_as_it_would_be_written() -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the checkout")?;
        assert_eq!(Figures::read(root)?.to_text()?, fs::read_to_string(root.join(PLACE))?);
        Ok(())
    }

    #[test]
    fn a_twentieth_is_let_pass_in_both_directions() {
        assert_eq!(Verdict::of(104_900.0, 100_000), Verdict::Same);
        assert_eq!(Verdict::of(95_100.0, 100_000), Verdict::Same);
        assert!(matches!(Verdict::of(105_100.0, 100_000), Verdict::More(by) if (by - 0.051).abs() < 1e-9));
        assert!(matches!(Verdict::of(90_000.0, 100_000), Verdict::Less(by) if (by - 0.1).abs() < 1e-9));
    }
}
