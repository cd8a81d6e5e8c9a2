//! The tracer takes a larger share of the processors than what it traces, unless it was told otherwise.

use std::{fs, process::Command};

use crate::report::tracer;

/// The nice values of the tracer and of the command that it runs, if it is started at `start`.
fn nice_values(start: i32) -> Vec<i32> {
    // nice(1) adds to what it has itself.
    let own = nice(&fs::read_to_string("/proc/self/stat").unwrap());
    let mut command = Command::new("nice");
    command.args(["-n", &(start - own).to_string()]).arg(tracer().get_program());
    // The shell's parent is the tracer; `cat` is nobody in particular.
    command.args(["trace", "-o", "/dev/null", "--", "sh", "-c", "cat /proc/$PPID/stat /proc/self/stat"]);
    let output = command.output().expect("nice runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(nice).collect()
}

/// The 19th field of proc_pid_stat(5). The second, the name, may hold blanks.
fn nice(stat: &str) -> i32 {
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.split(' ').nth(16).unwrap().parse().unwrap()
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
