//! Time that the machine's processors were taken away, by the hypervisor below it.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};
use nix::unistd::{SysconfVar, sysconf};

/// Of the time of one processor: more than this part, and what was measured meanwhile says nothing. The kernel counts
/// in ticks of 10 ms, so that one of them is too many for a turn of less than half a second.
pub(super) const TOLERABLE: f64 = 0.02;

/// Watches from its start on.
pub(super) struct Watch {
    began: Instant,
    ticks: u64,
}

impl Watch {
    /// Begins to watch.
    pub(super) fn start() -> Result<Self> {
        Ok(Self { began: Instant::now(), ticks: ticks()? })
    }

    /// How much was taken away since, of all processors together, as a part of the time of one.
    pub(super) fn part(&self) -> Result<f64> {
        let a_second = sysconf(SysconfVar::CLK_TCK)?.context("the kernel does not tell how long a tick is")?;
        let stolen = ticks()?.saturating_sub(self.ticks) as f64 / a_second as f64;
        Ok(stolen / self.began.elapsed().as_secs_f64())
    }
}

/// Since the machine's start.
fn ticks() -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    parse(&stat).context("/proc/stat does not tell the stolen time")
}

/// `cpu USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL ...`, see proc_stat(5); the first line is of all processors.
fn parse(stat: &str) -> Option<u64> {
    stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().nth(7)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eighth_number_is_the_stolen_time() {
        let stat = "cpu  2950041 255842 458174 2128862 9100 0 10708 2159 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(parse(stat), Some(2159));
        assert_eq!(parse("cpu  1 2 3\n"), None);
        assert_eq!(parse("cpu0 1 2 3 4 5 6 7 8 0 0\n"), None);
    }

    #[test]
    fn this_machine_tells() -> Result<()> {
        assert!(Watch::start()?.part()? >= 0.0);
        Ok(())
    }
}
