//! The tracer as a static binary, which runs whatever libraries a system has, or none.
//!
//! With glibc, whose static archive is in the package of its headers, and not with musl, for which neither Debian nor
//! every installation of Rust has a standard library. What glibc would load at run time nevertheless (the name service)
//! the tracer does not use; the linker is told to refuse it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::release::Release;
use crate::{
    arch::Arch,
    build::{FEATURES, host_cargo},
    cargo,
    deny::cargo_home,
    ebpf, process,
    target::Target,
    workspace::Workspace,
};

/// What a binary may weigh.
const LIMIT: u64 = 10_000_000;

/// Builds the tracer into cargo's target directory `target`.
pub(crate) fn build(workspace: &Workspace, release: &Release, target: &Path) -> Result<PathBuf> {
    let object = ebpf::build_for(workspace, release.arch)?;
    let processor = Target::provide(workspace, release.arch)?;
    let mut command = processor.cargo(workspace, target, "build", &object, &flags(workspace, release.arch)?);
    command.args(["--package", "tracer", "--bin", "tracer", "--release"]);
    let built = cargo::executables(&mut command)?.into_iter().find(|it| it.name == "tracer");
    let binary = built.context("cargo built no tracer")?.path;
    let size = fs::metadata(&binary).with_context(|| format!("cannot read {}", binary.display()))?.len();
    if size > LIMIT {
        bail!("{} has {size} bytes, and is to have {LIMIT} at most", binary.display());
    }
    Ok(binary)
}

/// Writes the manual pages and the completions.
pub(crate) fn pages(workspace: &Workspace, directory: &Path) -> Result<()> {
    let object = ebpf::build(workspace)?;
    let mut command = host_cargo(workspace, "build", &object);
    command.args(["--package", "tracer", "--bin", "tracer-pages"]).args(FEATURES);
    let built = cargo::executables(&mut command)?.into_iter().find(|it| it.name == "tracer-pages");
    let program = built.context("cargo built no tracer-pages")?.path;
    process::run(std::process::Command::new(program).arg(directory))
}

fn flags(workspace: &Workspace, arch: Arch) -> Result<Vec<String>> {
    // Neither the builder's directories nor their names are anybody's business.
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags = vec![
        // glibc's archive warns of functions that load libraries at run time.
        "-Clink-arg=-Wl,--fatal-warnings".to_owned(),
        remap(&cargo_home()?.join("registry/src"), "/crates"),
        remap(&workspace.root, "/tracer"),
    ];
    flags.extend(arch.release_flags().iter().map(|flag| (*flag).to_owned()));
    Ok(flags)
}
