//! Cargo's additional commands, from crates.io: built into the per-user cache, one directory a release, and so the same
//! for everybody who builds this commit.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{cargo, process, workspace::Workspace};

/// A command of cargo's that does not come with it.
pub(crate) struct Tool {
    /// The package, which is the program's name, too.
    name: &'static str,
    release: &'static str,
}

/// Licences, bans, sources and advisories of what we depend on.
pub(crate) const DENY: Tool = Tool { name: "cargo-deny", release: "0.20.2" };

/// Debian packages.
pub(crate) const DEB: Tool = Tool { name: "cargo-deb", release: "3.8.0" };
/// RPM packages.
pub(crate) const RPM: Tool = Tool { name: "cargo-generate-rpm", release: "0.21.1" };
/// Lists of components, in the form of CycloneDX.
pub(crate) const CYCLONEDX: Tool = Tool { name: "cargo-cyclonedx", release: "0.5.9" };

impl Tool {
    /// The program, if an earlier run built it.
    pub(crate) fn find(&self, workspace: &Workspace) -> Option<PathBuf> {
        let program = self.home(workspace).join("bin").join(self.name);
        // Not all know --version.
        let said = Command::new(&program).arg("--help").stdin(Stdio::null()).output().ok()?;
        said.status.success().then_some(program)
    }

    /// The program, built first if need be.
    pub(crate) fn provide(&self, workspace: &Workspace) -> Result<PathBuf> {
        if let Some(program) = self.find(workspace) {
            return Ok(program);
        }
        let Self { name, release } = self;
        eprintln!("building {name} {release} from crates.io (a minute or two)");
        let home = self.home(workspace);
        let target = home.join("target");
        let mut command = cargo::command("install");
        command
            .args([name, "--version", release, "--locked", "--force", "--debug"])
            .arg("--root")
            .arg(&home)
            .env("CARGO_TARGET_DIR", &target)
            // They work for a second at most: an optimized build takes twice as long.
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        process::capture(&mut command)?;
        fs::remove_dir_all(&target).with_context(|| format!("cannot remove {}", target.display()))?;
        self.find(workspace).with_context(|| format!("{name} was built but does not run"))
    }

    fn home(&self, workspace: &Workspace) -> PathBuf {
        workspace.cache.join("tools").join(format!("{}-{}", self.name, self.release))
    }
}
