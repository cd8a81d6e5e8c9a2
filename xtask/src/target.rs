//! Static programs for a processor, this computer's own or another one.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{
    arch::Arch,
    cargo, ebpf,
    setup::{self, Cross},
    workspace::Workspace,
};

/// A processor, and what builds for it.
pub(crate) struct Target {
    pub(crate) arch: Arch,
    /// For another processor than this computer's.
    cross: Option<Cross>,
}

impl Target {
    /// Finds or installs what it takes.
    pub(crate) fn provide(workspace: &Workspace, arch: Arch) -> Result<Self> {
        let is_ours = Arch::host()? == arch;
        let cross = if is_ours { None } else { Some(setup::cross(workspace, arch)?) };
        Ok(Self { arch, cross })
    }

    /// A cargo call that builds for it into `directory`, with `object` inside of the tracer.
    ///
    /// The target is named, though it may be the host's, so that build scripts and procedural macros stay dynamic.
    pub(crate) fn cargo(
        &self,
        workspace: &Workspace,
        directory: &Path,
        subcommand: &str,
        object: &Path,
        flags: &[String],
    ) -> Command {
        let mut command = cargo::command(subcommand);
        command
            .arg("--target-dir")
            .arg(directory)
            .args(["--target", self.arch.target()])
            .current_dir(&workspace.root)
            .env(ebpf::OBJECT_VARIABLE, object);
        let mut flags = [&["-Ctarget-feature=+crt-static".to_owned()], flags].concat();
        if let Some(Cross { rustc, sysroot, linker }) = &self.cross {
            command.env("RUSTC", rustc);
            flags.push(format!("-Clinker={}", linker.display()));
            flags.extend(sysroot.iter().map(|sysroot| format!("--sysroot={}", sysroot.display())));
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        command
    }
}
