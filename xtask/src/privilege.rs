//! Doing things as root: directly, or through sudo.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};
use nix::unistd::Uid;

/// Whether this process is root already.
pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Whether a command can be run as root without asking anybody for a password.
pub(crate) fn is_root_silently() -> bool {
    is_root() || sudo_needs_no_password()
}

fn sudo_needs_no_password() -> bool {
    Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A command that runs `program` as root; sudo may ask for a password.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    require_sudo()?;
    let mut command = Command::new("sudo");
    command.arg("--").arg(program);
    Ok(command)
}

/// Refuses with the remedy where there is no way to root.
pub(crate) fn require_sudo() -> Result<()> {
    if which::which("sudo").is_err() {
        bail!("this needs root: run it as root, or install sudo");
    }
    Ok(())
}
