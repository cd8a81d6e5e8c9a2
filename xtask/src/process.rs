//! Running other programs: every failure names the command that failed.

use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};
use nix::sys::{prctl, signal::Signal};

/// Runs a command that talks to the user directly.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run `{}`", show(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", show(command));
    }
    Ok(())
}

/// Runs a command for its standard output; a failure carries what it said.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("cannot run `{}`", show(command)))?;
    if !status.success() {
        let said = [stdout, stderr].concat();
        let said = String::from_utf8_lossy(&said);
        bail!("`{}` failed: {status}\n{}", show(command), said.trim_end());
    }
    String::from_utf8(stdout).with_context(|| format!("`{}` printed something that is not text", show(command)))
}

/// The command as a user would type it, without its environment.
pub(crate) fn show(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}

/// Ends this process with its parent, whatever ends that.
pub(crate) fn end_with_parent() -> nix::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)
}
