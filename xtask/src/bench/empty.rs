//! Programs that do nothing, at the events of a connection: what any tracer of them costs, whatever it does.

use std::process::Command;
use std::{env, ffi::CStr, os::fd::OwnedFd, process::ExitCode};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};

use super::bpf;

/// Where `tracer trace` has programs and a load of the bench passes by. On some kernels the tracer observes a RST that
/// came, and accept(), by trampolines instead (fentry, fexit); a raw tracepoint costs about as much, and is everywhere.
const TRACEPOINTS: [&CStr; 4] = [c"inet_sock_set_state", c"tcp_send_reset", c"tcp_receive_reset", c"tcp_destroy_sock"];

/// The second program of the tracer is for what interrupts the first.
const PROGRAMS_EACH: usize = 2;

/// What says that all are attached.
pub(super) const ATTACHED: &str = "attached";

/// This program again, as the subject.
pub(super) fn command() -> Result<Command> {
    let mut command = Command::new(env::current_exe().context("cannot tell where this binary is")?);
    command.arg("bench-empty");
    Ok(command)
}

/// The subject: attaches the programs and lets them be until it is asked to end, as Ctrl-C does.
pub(crate) fn main() -> Result<ExitCode> {
    let mut interrupt = SigSet::empty();
    interrupt.add(Signal::SIGINT);
    // Before anybody can know that it is attached, so that no signal comes too early.
    interrupt.thread_block().context("cannot block SIGINT")?;
    let _attached = attach_all()?;
    println!("{ATTACHED}");
    interrupt.wait().context("cannot wait for SIGINT")?;
    Ok(ExitCode::SUCCESS)
}

/// Programs, and what attaches them.
fn attach_all() -> Result<Vec<(OwnedFd, OwnedFd)>> {
    let each = TRACEPOINTS.into_iter().flat_map(|tracepoint| [tracepoint; PROGRAMS_EACH]);
    let attached = each.map(|tracepoint| {
        let program = bpf::load_nothing().context("the kernel refuses a program that does nothing (needs root)")?;
        let attachment = bpf::attach(&program, tracepoint);
        let attachment = attachment.with_context(|| format!("cannot attach to {}", tracepoint.to_string_lossy()))?;
        Ok((program, attachment))
    });
    attached.collect()
}
