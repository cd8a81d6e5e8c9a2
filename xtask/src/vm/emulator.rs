//! QEMU: the system's, or Debian's package unpacked into the cache.
//!
//! It is not installed: that needs root, and apt refuses where another package of QEMU's is there in a
//! version that its own archives do not have.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{apt, arch::Arch, process, store, workspace::Workspace};

/// A QEMU that can be run, for the machines of one processor.
pub(crate) struct Emulator {
    program: PathBuf,
    /// Where its libraries are, if they are not the system's.
    libraries: Option<OsString>,
}

impl Emulator {
    /// The one on PATH, or else the one in the cache, fetched if need be.
    pub(crate) fn provide(workspace: &Workspace, arch: Arch) -> Result<Self> {
        let (name, package) = (arch.emulator(), arch.emulator_package());
        if let Ok(program) = which::which(name) {
            return Ok(Self { program, libraries: None });
        }
        if !apt::is_here() {
            bail!("{name} is not on PATH: install it with your package manager");
        }
        let root = store::provide(&workspace.cache.join("tools"), package, false, |home| apt::unpack(package, home))?;
        let emulator = Self::in_tree(&root, name);
        let version = process::capture(emulator.command().arg("--version"));
        version.with_context(|| {
            format!(
                "{name} in {} does not run: remove that directory, or install the package {package}",
                root.display()
            )
        })?;
        Ok(emulator)
    }

    /// It finds its firmware and modules by itself, relative to its own place.
    fn in_tree(root: &Path, name: &str) -> Self {
        let architecture = format!("{}-linux-gnu", std::env::consts::ARCH);
        let libraries = ["usr/lib", "lib"].map(|directory| root.join(directory).join(&architecture).into_os_string());
        Self { program: root.join("usr/bin").join(name), libraries: Some(libraries.join(":".as_ref())) }
    }

    /// To be given arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}
