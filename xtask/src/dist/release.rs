//! What a release is called, and when it was made.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::arch::Arch;
use crate::{process, workspace::Workspace};

const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// What every part of a release is told.
pub(crate) struct Release {
    pub(crate) arch: Arch,
    pub(crate) version: &'static str,
    /// Seconds since 1970: the commit's, so that the same commit gives the same bytes.
    pub(crate) epoch: String,
    /// Where what is to be given away goes.
    pub(crate) out: PathBuf,
    /// Where it is put together.
    pub(crate) work: PathBuf,
}

impl Release {
    pub(crate) fn of(workspace: &Workspace, arch: Arch, out: &Path, work: &Path) -> Result<Self> {
        Ok(Self {
            arch,
            // All packages of the workspace have one version.
            version: env!("CARGO_PKG_VERSION"),
            epoch: epoch(workspace)?,
            out: out.to_owned(),
            work: work.to_owned(),
        })
    }

    /// `tracer-VERSION-ARCH`, which names what is not named by the rules of a package's format.
    pub(crate) fn name(&self) -> String {
        format!("tracer-{}-{}", self.version, self.arch.kernel())
    }

    /// A command that takes the time of the release for now.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env(EPOCH, &self.epoch).env("LC_ALL", "C").env("TZ", "UTC");
        command
    }
}

fn epoch(workspace: &Workspace) -> Result<String> {
    if let Ok(given) = env::var(EPOCH) {
        return Ok(given);
    }
    let mut git = Command::new("git");
    let time = process::capture(git.args(["log", "-1", "--format=%ct"]).current_dir(&workspace.root));
    Ok(time.with_context(|| format!("there is no commit to take the time from: set {EPOCH}"))?.trim().to_owned())
}
