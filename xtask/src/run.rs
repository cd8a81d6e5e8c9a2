//! `run`: the tracer as root, built first.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::{
    build::{self, Profile},
    privilege,
    workspace::Workspace,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to pass to the tracer [default: demo]
    #[arg(last = true)]
    args: Vec<OsString>,
}

pub(crate) fn main(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let tracer = build::tracer(workspace, Profile::Quick)?;
    let mut command = privilege::as_root(&tracer)?;
    if args.args.is_empty() {
        command.arg("demo");
    } else {
        command.args(&args.args);
    }
    // In place of this process: signals, terminal and exit status are the tracer's own.
    Err(command.exec()).with_context(|| format!("cannot run {}", tracer.display()))
}
