//! The RPM package: with rpm's own tool, into a root directory that has nothing else.

use anyhow::{Result, bail, ensure};

use super::root::Root;
use crate::{
    dist::{release::Release, tree},
    workspace::Workspace,
};

/// Where Debian's rpm keeps its database.
const DATABASE: &str = "/alone/root/.rpmdb/*";

/// Errors of rpmlint's that are meant.
const MEANT: [&str; 6] = [
    // It runs on whatever a system has.
    "statically-linked-binary",
    // Whoever publishes it signs it, and says who that is.
    "no-signature",
    "no-packager-tag",
    // Two builds give the same bytes, wherever they are made.
    "no-buildhost-tag",
    // It is in a file, for users.
    "no-changelogname-tag",
    // No distribution's tools ask for it any more.
    "no-group-tag",
];

pub(super) fn check(workspace: &Workspace, release: &Release) -> Result<()> {
    let root = Root::with(workspace, &["rpm", "rpmlint"])?;
    let package = format!("tracer-{}-1.{}.rpm", release.version, release.arch.kernel());
    let inside = format!("/tmp/{package}");
    tree::copy(&release.out.join(&package), &root.path(&inside))?;
    root.run(&["rpm", "--checksig", "--nosignature", &inside])?;
    lint(&root, &inside)?;
    root.run(&["mkdir", "/alone"])?;
    let rpm = |args: &[&str]| root.run(&[&["rpm", "--root", "/alone"], args].concat());
    rpm(&["--install", "--nodeps", &inside])?;
    // Without a library, a shell or anything else.
    let version = root.run(&["chroot", "/alone", "/usr/bin/tracer", "--version"])?;
    ensure!(version.trim() == format!("tracer {}", release.version), "the installed binary is {version}");
    let listed = rpm(&["--query", "--list", "tracer"])?;
    for place in [
        "/usr/share/man/man1/tracer-rst.1.gz",
        "/usr/share/bash-completion/completions/tracer",
        "/usr/share/zsh/site-functions/_tracer",
        "/usr/share/licenses/tracer/THIRD-PARTY-NOTICES",
    ] {
        ensure!(listed.lines().any(|line| line == place), "the package lacks {place}:\n{listed}");
    }
    rpm(&["--verify", "--nodeps", "tracer"])?;
    rpm(&["--erase", "tracer"])?;
    let left = root.run(&["find", "/alone", "-type", "f", "-not", "-path", DATABASE])?;
    if !left.is_empty() {
        bail!("removed, the package leaves behind:\n{left}");
    }
    Ok(())
}

fn lint(root: &Root, package: &str) -> Result<()> {
    // It ends with a status that says that there were errors, and these are read.
    let said = root.run(&["sh", "-c", "rpmlint \"$1\" || true", "sh", package])?;
    ensure!(said.contains("1 packages and 0 specfiles checked"), "rpmlint did not look at the package:\n{said}");
    // tracer.x86_64: E: no-signature
    let mut errors = said.lines().filter_map(|line| line.split_once(": E: "));
    let unmeant = errors.find(|(_, error)| !error.split(' ').next().is_some_and(|name| MEANT.contains(&name)));
    if let Some((_, error)) = unmeant {
        bail!("rpmlint has found {error}:\n{said}");
    }
    Ok(())
}
