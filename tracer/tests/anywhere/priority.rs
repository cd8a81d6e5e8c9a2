//! The tracer takes a larger share of the processors than what it traces, unless it was told otherwise.

use std::process::Command;

use procfs::{
    FromRead as _,
    process::{Process, Stat},
};

use crate::report::tracer;

/// The nice values of the tracer and of the command that it runs, if it is started at `start`.
fn nice_values(start: i64) -> Vec<i64> {
    // nice(1) adds to what it has itself.
    let own = Process::myself().and_then(|own| own.stat()).unwrap().nice;
    let mut command = Command::new("nice");
    command.args(["-n", &(start - own).to_string()]).arg(tracer().get_program());
    // The shell's parent is the tracer; `cat` is nobody in particular.
    command.args(["trace", "-o", "/dev/null", "--", "sh", "-c", "cat /proc/$PPID/stat /proc/self/stat"]);
    let output = command.output().expect("nice runs");
    assert!(output.status.success(), "{output:?}");
    output.stdout.split_inclusive(|byte| *byte == b'\n').map(|stat| Stat::from_read(stat).unwrap().nice).collect()
}

#[test]
#[ignore = "needs root"]
fn it_raises_its_own_share_and_not_that_of_what_it_runs() {
    assert_eq!(nice_values(0), [-10, 0]);
}

#[test]
#[ignore = "needs root"]
fn a_nice_value_that_was_chosen_is_kept() {
    assert_eq!(nice_values(5), [5, 5]);
}
