//! The eBPF programs that a process holds, and how long they ran.

use std::{collections::BTreeMap, fs, iter::Sum, ops::Sub};

use anyhow::{Context as _, Result};

/// Runs of one program, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs {
    pub(super) nanoseconds: u64,
    pub(super) count: u64,
}

/// All programs that a process has descriptors of.
pub(super) fn of_process(pid: u32) -> Result<Runs> {
    Ok(each(pid)?.into_values().sum())
}

/// Whether there are any.
pub(super) fn holds_any(pid: u32) -> Result<bool> {
    Ok(!each(pid)?.is_empty())
}

/// By id: a process may have several descriptors of one program.
fn each(pid: u32) -> Result<BTreeMap<u32, Runs>> {
    let directory = format!("/proc/{pid}/fdinfo");
    let mut programs = BTreeMap::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("cannot read {directory}"))? {
        // What was closed meanwhile is no program of interest.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        programs.extend(parse(&text));
    }
    Ok(programs)
}

/// Id and runs, if the descriptor is that of a program (`bpf_prog_show_fdinfo` in kernel/bpf/syscall.c).
fn parse(fdinfo: &str) -> Option<(u32, Runs)> {
    let field = |name| {
        let mut lines = fdinfo.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| *found == name).map(|(_, value)| value.trim())
    };
    let runs = Runs { nanoseconds: field("run_time_ns")?.parse().ok()?, count: field("run_cnt")?.parse().ok()? };
    Some((field("prog_id")?.parse().ok()?, runs))
}

impl Sum for Runs {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            nanoseconds: sum.nanoseconds + one.nanoseconds,
            count: sum.count + one.count,
        })
    }
}

impl Sub for Runs {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            nanoseconds: self.nanoseconds.saturating_sub(before.nanoseconds),
            count: self.count.saturating_sub(before.count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_descriptors_of_programs_count() {
        let program = "pos:\t0\nflags:\t02000002\nmnt_id:\t16\nino:\t1054\nprog_type:\t26\nprog_jited:\t1\n\
                       prog_tag:\t1a2b\nmemlock:\t4096\nprog_id:\t77\nrun_time_ns:\t900\nrun_cnt:\t3\n\
                       recursion_misses:\t0\n";
        assert_eq!(parse(program), Some((77, Runs { nanoseconds: 900, count: 3 })));
        assert_eq!(parse("pos:\t0\nlink_type:\tperf\nlink_id:\t5\nprog_id:\t77\n"), None);
        assert_eq!(parse("pos:\t0\n"), None);
    }
}
