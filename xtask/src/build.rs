//! `build`: the tracer with its eBPF programs inside.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{cargo, ebpf, workspace::Workspace};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build with optimizations (this is the default)
    #[arg(long, conflicts_with = "debug")]
    release: bool,
    /// Build fast and with debug assertions
    #[arg(long)]
    debug: bool,
}

/// How the tracer is compiled. The eBPF programs are always optimized.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    Release,
    /// As far as that costs no time: for who wants to see something now.
    Quick,
    Debug,
}

pub(crate) fn main(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let profile = match args.debug {
        true => Profile::Debug,
        false => Profile::Release,
    };
    println!("{}", tracer(workspace, profile)?.display());
    Ok(ExitCode::SUCCESS)
}

/// What lints, documentation and tests switch on: else they would pass over the program behind it.
pub(crate) const FEATURES: [&str; 2] = ["--features", "tracer/pages"];

/// Builds the tracer, with whatever that takes, and returns its path.
pub(crate) fn tracer(workspace: &Workspace, profile: Profile) -> Result<PathBuf> {
    let object = ebpf::build(workspace)?;
    let mut command = host_cargo(workspace, "build", &object);
    command.args(["--package", "tracer", "--bin", "tracer"]);
    let directory = match profile {
        Profile::Release => "release",
        Profile::Quick => "quick",
        Profile::Debug => "debug",
    };
    match profile {
        Profile::Release | Profile::Quick => _ = command.args(["--profile", directory]),
        Profile::Debug => {}
    }
    if !workspace.target.join(directory).exists() {
        eprintln!("building the tracer, which takes about two minutes the first time");
    }
    let executables = cargo::executables(&mut command)?;
    let tracer = executables.into_iter().find(|it| it.name == "tracer");
    Ok(tracer.context("cargo built no tracer")?.path)
}

/// A cargo call for the host side. All of them name the object: cargo would rebuild the tracer
/// each time that one does and the next does not.
pub(crate) fn host_cargo(workspace: &Workspace, subcommand: &str, object: &Path) -> Command {
    let mut command = cargo::command(subcommand);
    command.arg("--target-dir").arg(&workspace.target).current_dir(&workspace.root).env(ebpf::OBJECT_VARIABLE, object);
    command
}
