//! What a release is called, and when it was made.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{arch::Arch, process, workspace::Workspace};

const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// What every part of a release for one processor is told.
pub(crate) struct Release {
    pub(crate) arch: Arch,
    pub(crate) version: &'static str,
    /// The commit that it is made from.
    pub(crate) commit: String,
    /// Seconds since 1970: the commit's, so that the same commit gives the same bytes.
    pub(crate) epoch: String,
    /// Where what is to be given away goes.
    pub(crate) out: PathBuf,
    /// Where it is put together.
    pub(crate) work: PathBuf,
    /// The tracer, once it is built.
    pub(crate) binary: PathBuf,
}

impl Release {
    pub(crate) fn of(workspace: &Workspace, arch: Arch, out: &Path, work: &Path) -> Result<Self> {
        Ok(Self {
            arch,
            // All packages of the workspace have one version.
            version: env!("CARGO_PKG_VERSION"),
            commit: git(workspace, "%H")?,
            epoch: env::var(EPOCH).or_else(|_| git(workspace, "%ct"))?,
            out: out.to_owned(),
            work: work.to_owned(),
            binary: PathBuf::new(),
        })
    }

    /// The same release, made elsewhere.
    pub(crate) fn made_in(&self, directory: &Path) -> Self {
        let Self { arch, version, commit, epoch, binary, .. } = self;
        Self {
            arch: *arch,
            version,
            commit: commit.clone(),
            epoch: epoch.clone(),
            out: directory.join("out"),
            work: directory.join("work").join(arch.kernel()),
            binary: binary.clone(),
        }
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

/// What git says of the commit that is checked out.
fn git(workspace: &Workspace, what: &str) -> Result<String> {
    let mut git = Command::new("git");
    let said = process::capture(git.args(["log", "-1"]).arg(format!("--format={what}")).current_dir(&workspace.root));
    Ok(said.context("a release is made from a commit: clone the repository")?.trim().to_owned())
}
