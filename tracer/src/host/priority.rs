//! The reader's share of the processors.

use rustix::process::{getpriority_process, setpriority_process};

/// More than nine times the share of a task at the usual 0 (`sched_prio_to_weight` in kernel/sched/core.c), and it
/// need not wait for one to give way. Tools that must keep up with the kernel do so by default: auditd boosts itself
/// (`priority_boost` in auditd.conf(5)).
const NICE: i32 = -10;

/// Where the traced load takes all processors, an equal share is too little to read what it makes the kernel
/// report. What was started at another nice value than the usual one (nice(1)) keeps it.
pub(crate) fn raise() {
    match getpriority_process(None) {
        Ok(0) => {
            if let Err(error) = setpriority_process(None, NICE) {
                log::debug!("the nice value stays at 0 ({error}): under load more events may be lost");
            }
        }
        Ok(other) => log::debug!("the nice value stays at {other}, as it was started"),
        Err(error) => log::debug!("the nice value is not known: {error}"),
    }
}
