//! What one subject cost under one load, counted: made in the guest, read on the host, a line each.

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

/// What the lines begin with, between whatever else the guest says.
const MARK: &str = "counted: ";

/// Instructions, as nanoseconds of a machine whose clock counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) workload: String,
    pub(super) subject: String,
    pub(super) operations: u64,
    /// From the first operation to the last, whoever worked: the load, the kernel, the subject's programs, its reader.
    pub(super) elapsed: u64,
    /// Of these, the reader's.
    pub(super) reader_meanwhile: u64,
    /// The reader's afterwards, until it had read all.
    pub(super) reader_after: u64,
    /// Events, by its own account, those of the warm-up among them.
    pub(super) events: u64,
    pub(super) lost: u64,
    /// By what means it observed, of this tracer.
    pub(super) means: Option<String>,
}

impl Sample {
    /// For each operation: all that is not the reader's.
    pub(super) fn load(&self) -> f64 {
        self.each(self.elapsed.saturating_sub(self.reader_meanwhile))
    }

    /// For each operation: the reader's part.
    pub(super) fn reader(&self) -> f64 {
        self.each(self.reader_meanwhile + self.reader_after)
    }

    /// For each operation: everything.
    pub(super) fn total(&self) -> f64 {
        self.load() + self.reader()
    }

    fn each(&self, instructions: u64) -> f64 {
        instructions as f64 / self.operations as f64
    }

    /// The line that says it.
    pub(super) fn to_line(&self) -> Result<String> {
        Ok(format!("{MARK}{}", serde_json::to_string(self)?))
    }

    /// What a line says, if it is such a line.
    pub(super) fn parse(line: &str) -> Option<Result<Self>> {
        let text = line.strip_prefix(MARK)?;
        Some(Self::read(text).with_context(|| format!("the guest has counted what cannot be read: {text}")))
    }

    fn read(text: &str) -> Result<Self> {
        let sample: Self = serde_json::from_str(text)?;
        ensure!(sample.operations > 0, "nothing was done");
        Ok(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample {
            workload: "refused".into(),
            subject: "trace".into(),
            operations: 100,
            elapsed: 5_000_000,
            reader_meanwhile: 600_000,
            reader_after: 400_000,
            events: 300,
            lost: 0,
            means: Some("state tp_btf".into()),
        }
    }

    #[test]
    fn the_host_reads_what_the_guest_writes() -> Result<()> {
        let sample = sample();
        assert_eq!(Sample::parse(&sample.to_line()?).expect("it is one").expect("it can be read"), sample);
        let without = Sample { means: None, ..sample };
        assert_eq!(Sample::parse(&without.to_line()?).expect("it is one").expect("it can be read"), without);
        assert!(Sample::parse("tcpstates: lost 3 events").is_none());
        assert!(Sample::parse("counted: {}").expect("it is one").is_err());
        let idle = Sample { operations: 0, ..without };
        assert!(Sample::parse(&idle.to_line()?).expect("it is one").is_err());
        Ok(())
    }

    #[test]
    fn what_the_reader_does_later_counts_too() {
        let sample = sample();
        assert_eq!((sample.load(), sample.reader(), sample.total()), (44_000.0, 10_000.0, 54_000.0));
    }
}
