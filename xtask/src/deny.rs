//! Whether what we depend on may be used: licences, sources, bans, and known vulnerabilities. What is asked of them is in
//! `.cargo/deny.toml`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{process, tools, workspace::Workspace};

/// How long the database of advisories may take to arrive, in seconds.
const PATIENCE: &str = "120";

/// Fails if a dependency may not be used.
///
/// Where the database of advisories cannot be had, that is said, and is no failure: one who works without a network has
/// no other way.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let deny = tools::DENY.provide(workspace)?;
    process::run(command(workspace, &deny).args(["--locked", "check", "licenses", "bans", "sources"]))?;
    match (fetch_advisories(workspace, &deny), has_advisories()?) {
        (Ok(()), _) => process::run(command(workspace, &deny).args(["--locked", "check", "advisories"])),
        (Err(error), true) => {
            println!("the advisories are those that were fetched before: {error:#}");
            process::run(command(workspace, &deny).args(["--locked", "--offline", "check", "advisories"]))
        }
        (Err(error), false) => {
            println!("NOT CHECKED: known vulnerabilities of dependencies, for want of their database: {error:#}");
            Ok(())
        }
    }
}

fn fetch_advisories(workspace: &Workspace, deny: &Path) -> Result<()> {
    let mut command = command(workspace, Path::new("timeout"));
    command.arg(PATIENCE).arg(deny).args(["--locked", "fetch", "db"]);
    // Nobody is there to give a password.
    process::capture(command.env("GIT_TERMINAL_PROMPT", "0")).map(drop)
}

/// Whether a database is where cargo-deny keeps it.
fn has_advisories() -> Result<bool> {
    let databases = cargo_home()?.join("advisory-dbs");
    Ok(fs::read_dir(databases).is_ok_and(|entries| entries.flatten().any(|entry| entry.path().join(".git").is_dir())))
}

/// Where cargo keeps what it fetched.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    let configured = env::var_os("CARGO_HOME").map(PathBuf::from);
    let usual = || Some(env::home_dir()?.join(".cargo"));
    configured.or_else(usual).context("there is no home directory for cargo: set CARGO_HOME")
}

fn command(workspace: &Workspace, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&workspace.root);
    command
}
