//! The tracer in a pid namespace of its own, as in a container that has not the host's.

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, fork},
};

use crate::{
    child,
    report::{abort, is_observed, objects, tracer},
};

/// Runs a command as the first process of a new pid namespace, with a `/proc` of that.
fn isolated(mut command: Command) -> Command {
    // SAFETY: between fork and exec it makes system calls only.
    unsafe {
        command.pre_exec(|| {
            unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS)?;
            match fork()? {
                ForkResult::Child => {
                    let none = None::<&str>;
                    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
                    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none)?;
                    Ok(())
                }
                ForkResult::Parent { child } => {
                    // Who spawned this waits until no such descriptor is left, or another program runs.
                    libc::close_range(3, libc::c_uint::MAX, 0);
                    let code = match waitpid(child, None) {
                        Ok(WaitStatus::Exited(_, code)) => code,
                        _ => 255,
                    };
                    // This copy of the test must run nothing more of it.
                    libc::_exit(code)
                }
            }
        });
    }
    command
}

#[test]
#[ignore = "needs root"]
fn a_command_is_traced_by_the_ids_of_the_namespace() {
    const SELF: &str = "127.0.10.1:7701";
    let part = child::player(&format!("self {SELF}"));
    // Apart from what the command prints.
    let report = tempfile::NamedTempFile::new().unwrap();
    let mut command = tracer();
    command.args(["trace", "-j", "-e", "state,close", "-o"]).arg(report.path());
    command.arg("--").arg(part.get_program()).args(part.get_args());
    command.envs(part.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = isolated(command).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = objects(&std::fs::read(report.path()).unwrap());
    let degraded = seen[0]["degraded"].to_string();
    assert!(degraded.contains("pid namespace of its own"), "{degraded}");
    let close = seen.iter().find(|event| event["event"] == "close").expect("the command's socket");
    assert_eq!(close["local"], SELF, "{close:#}");
    let owner = &close["owner"];
    assert!(owner["pid"].as_u64().is_some_and(|pid| (2..100).contains(&pid)), "not its own id: {close:#}");
    assert!(owner["cmdline"].as_str().is_some_and(|line| line.contains("child::entry")), "{close:#}");
}

#[test]
#[ignore = "needs root"]
fn a_process_of_another_namespace_is_not_taken_for_one_here() {
    let mut command = tracer();
    command.args(["trace", "-j", "-e", "rst", "-c", "20"]).stdout(Stdio::piped());
    let mut trace = isolated(command).spawn().unwrap();
    let mut aborted = Vec::new();
    // It says nowhere but in its output, which is read below, that it is attached.
    let deadline = Instant::now() + Duration::from_secs(60);
    while trace.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it ends when it has reported so many");
        aborted.push(abort().0.to_string());
    }
    let seen = objects(io::read_to_string(trace.stdout.take().unwrap()).unwrap().as_bytes());
    if is_observed(&seen[0], "rst_sent_active") {
        let is_one = |event: &&serde_json::Value| aborted.iter().any(|local| event["local"] == *local);
        let ids: Vec<_> = seen.iter().filter(is_one).map(|event| event["owner"]["pid"].to_string()).collect();
        let own = format!("\"host:{}\"", std::process::id());
        // Not all: where another test has just forked, it is the child that has the last descriptor, which exec closes.
        assert!(ids.contains(&own) && ids.iter().all(|id| id.starts_with("\"host:")), "{ids:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_process_that_is_not_in_the_namespace_is_refused_at_once() {
    let mut command = tracer();
    command.args(["trace", "-p", "4194000"]);
    let output = isolated(command).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("pid namespace of its own"), "{error}");
}
