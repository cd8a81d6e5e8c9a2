//! What `/proc` says of a process.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use nix::{
    time::ClockId,
    unistd::{Pid, SysconfVar, sysconf},
};

use crate::arch::EPOLL_WAITS;

/// Seconds that a process has computed so far, in user and kernel mode. One that has ended can be asked until
/// somebody has waited for it.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = read(pid, "stat")?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("the kernel says of process {pid}: {stat}"))?;
    let a_second = sysconf(SysconfVar::CLK_TCK)?.context("the kernel does not tell how long a tick is")?;
    Ok(ticks as f64 / a_second as f64)
}

/// Nanoseconds that a process has computed so far, in user and kernel mode, by the scheduler's clock, which is as fine as
/// the machine's. Unlike [`cpu_seconds`] it says nothing of one that has ended.
pub(super) fn computed(pid: u32) -> Result<u64> {
    let failed = || format!("the kernel does not tell what process {pid} has computed");
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed())).with_context(failed)?;
    let time = Duration::from(clock.now().with_context(failed)?);
    Ok(u64::try_from(time.as_nanos())?)
}

/// KiB of memory that a process has held at most.
pub(super) fn peak_kib(pid: u32) -> Result<u64> {
    let status = read(pid, "status")?;
    field_kib(&status, "VmHWM:").with_context(|| format!("the kernel does not tell the memory of process {pid}"))
}

/// Whether a process waits for events (epoll_wait(2)), as a tool does once it is set up.
pub(super) fn waits_for_events(pid: u32) -> Result<bool> {
    Ok(is_epoll(&read(pid, "syscall")?))
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}

/// `utime` and `stime` of proc_pid_stat(5). The name before them may hold anything, brackets too.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

fn field_kib(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

/// `NUMBER ARGUMENTS...`, or `running`, see proc_pid_syscall(5).
fn is_epoll(syscall: &str) -> bool {
    let number = syscall.split_whitespace().next().and_then(|number| number.parse().ok());
    EPOLL_WAITS.iter().any(|epoll| number == Some(*epoll))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_moves_no_field() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 900 0 0 0 70 30 0 0 20 0 1 0 100 2000 300";
        assert_eq!(cpu_ticks(stat), Some(100));
        assert_eq!(cpu_ticks("nonsense"), None);
    }

    #[test]
    fn memory_and_the_system_call_are_read() {
        assert_eq!(field_kib("VmPeak:\t 9 kB\nVmHWM:\t    5120 kB\n", "VmHWM:"), Some(5120));
        assert!(is_epoll(&format!("{} 0xd 0x55 0x2 0x64\n", libc::SYS_epoll_pwait)));
        assert!(!is_epoll("0 0x3 0x7f\n") && !is_epoll("running\n"));
    }

    #[test]
    fn this_process_has_computed_and_holds_memory() -> Result<()> {
        assert!(cpu_seconds(std::process::id())? >= 0.0);
        assert!(computed(std::process::id())? > 0);
        assert!(peak_kib(std::process::id())? > 0);
        Ok(())
    }
}
