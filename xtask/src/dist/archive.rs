//! Archives whose bytes depend on their content alone, and checksums.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    licences,
    release::Release,
    tree::{self, Tree},
};
use crate::{ebpf, process, workspace::Workspace};

pub(crate) const CHECKSUMS: &str = "SHA256SUMS";

/// What the archive for any distribution has, beside its notices.
const CONTENT: [&str; 7] =
    ["tracer", "README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "man", "completions"];

/// The archive of the binary, for any distribution.
pub(crate) fn make(release: &Release, tree: &Tree) -> Result<()> {
    let directory = release.work.join(release.name());
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    for name in CONTENT.into_iter().chain([tree::NOTICES]) {
        process::capture(Command::new("cp").arg("--recursive").arg(tree.root.join(name)).arg(&directory))?;
    }
    let path = release.out.join(format!("{}.tar", release.name()));
    tar(release, &release.work, Path::new(&release.name()), &path)?;
    compress(&path)
}

/// The eBPF programs, for who compiles the tracer without a toolchain for them.
pub(crate) fn object(workspace: &Workspace, release: &Release) -> Result<()> {
    let name = format!("tracer-ebpf-{}-{}.o", release.version, release.arch.kernel());
    tree::copy(&ebpf::build_for(workspace, release.arch)?, &release.out.join(name))
}

/// The sources that the LGPL asks for, from where the binary is.
pub(crate) fn sources(workspace: &Workspace, release: &Release) -> Result<()> {
    let library = licences::lgpl_source(workspace, release)?;
    let name = library.file_name().context("the library's archive has no name")?;
    tree::copy(&library, &release.out.join(name))?;
    let path = release.out.join(format!("tracer-{}-source.tar", release.version));
    let mut git = release.command("git");
    git.arg("archive")
        .arg(format!("--prefix=tracer-{}/", release.version))
        .arg("--output")
        .arg(&path)
        .arg(&release.commit);
    process::capture(git.current_dir(&workspace.root)).context("the source is taken from git")?;
    compress(&path)
}

/// An archive of `what` in `directory`: in one order, of one time, of nobody.
pub(crate) fn tar(release: &Release, directory: &Path, what: &Path, path: &Path) -> Result<()> {
    let mut tar = release.command("tar");
    tar.args(["--create", "--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go-w"])
        .arg(format!("--mtime=@{}", release.epoch))
        .arg("--file")
        .arg(path)
        .arg("--directory")
        .arg(directory)
        .arg(what);
    process::capture(&mut tar).map(drop)
}

fn compress(path: &Path) -> Result<()> {
    process::capture(Command::new("gzip").args(["-9", "--no-name", "--force"]).arg(path)).map(drop)
}

/// Writes the checksums of all files, in the form that `sha256sum --check` reads.
pub(crate) fn checksums(release: &Release) -> Result<()> {
    let mut names: Vec<PathBuf> = files(&release.out)?;
    names.retain(|name| name != Path::new(CHECKSUMS));
    let sums = process::capture(Command::new("sha256sum").arg("--").args(&names).current_dir(&release.out))?;
    tree::write(&release.out.join(CHECKSUMS), &sums)
}

/// The names of the files in a directory, in order.
pub(crate) fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut names: Vec<PathBuf> = entries.flatten().map(|entry| entry.file_name().into()).collect();
    names.sort();
    Ok(names)
}

/// The time of the release as `2026-11-27T00:00:00Z`.
pub(crate) fn rfc3339(release: &Release) -> Result<String> {
    let date = format!("--date=@{}", release.epoch);
    let said = process::capture(release.command("date").args(["--utc", &date, "+%Y-%m-%dT%H:%M:%SZ"]))?;
    Ok(said.trim().to_owned())
}
