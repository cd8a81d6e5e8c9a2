//! Processes that started before the trace, as they were when it began: one of them may be named only once it has
//! ended, and then nobody tells its command line any more.

use std::{collections::HashMap, fs};

use super::command_line;

/// Processes that are remembered: a machine with more of them tells the others' while they live.
const MOST: usize = 8192;

/// The processes, by id.
#[derive(Default)]
pub(super) struct Older(HashMap<u32, Process>);

struct Process {
    line: String,
    stat: Stat,
}

/// What tells a process from a later one with its id.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) comm: String,
    /// In clock ticks after the start of the machine.
    pub(super) start: u64,
}

impl Older {
    /// The processes that exist now.
    pub(super) fn now() -> Self {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        // Kernel threads have no command line.
        let process = |pid| Some((pid, Process { line: command_line::of_process(pid)?, stat: stat(pid)? }));
        Self(pids.filter_map(process).take(MOST).collect())
    }

    /// The command line of a process that is called `comm`: as it is, or as it was if it has ended.
    pub(super) fn command_line(&self, pid: u32, comm: &str) -> Option<String> {
        let known = self.0.get(&pid);
        let stat = stat(pid);
        let is_known = known.filter(|known| match &stat {
            Some(stat) => stat.start == known.stat.start,
            // Another one may have had its id since.
            None => known.stat.comm == comm,
        });
        command_line::of_process(pid).or_else(|| is_known.map(|known| known.line.clone()))
    }
}

/// Name and start of a process.
pub(super) fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The same of that file's bytes.
pub(super) fn parse(stat: &[u8]) -> Option<Stat> {
    let stat = String::from_utf8_lossy(stat);
    // Its name may have blanks and brackets. The 22nd field is the 20th after it.
    let (before, after) = stat.rsplit_once(") ")?;
    let (_, comm) = before.split_once('(')?;
    Some(Stat { comm: comm.to_owned(), start: after.split(' ').nth(19)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_has_ended_has_the_line_that_it_had() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id();
        // Until then it is not yet what it will be.
        while command_line::of_process(pid).as_deref() != Some("sleep 1000") {
            std::thread::yield_now();
        }
        let older = Older::now();
        assert_eq!(older.command_line(pid, "sleep").as_deref(), Some("sleep 1000"));
        child.kill().unwrap();
        nix::sys::wait::waitid(
            nix::sys::wait::Id::Pid(nix::unistd::Pid::from_raw(pid as i32)),
            nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT,
        )
        .unwrap();
        assert_eq!(command_line::of_process(pid), None, "it has ended");
        assert_eq!(older.command_line(pid, "other").as_deref(), Some("sleep 1000"), "nobody else has its id yet");
        child.wait().unwrap();
        assert_eq!(older.command_line(pid, "sleep").as_deref(), Some("sleep 1000"));
        assert_eq!(older.command_line(pid, "other"), None, "that may be another one");
        assert_eq!(Older::default().command_line(pid, "sleep"), None);
    }

    #[test]
    fn names_may_have_brackets() {
        let own = stat(std::process::id()).unwrap();
        assert!(own.start > 0 && !own.comm.is_empty());
        assert_eq!(stat(u32::MAX), None);
    }
}
