//! `dist`: what is given away: a static binary in an archive, packages, an image, with manual pages, completions, the
//! notices of third parties, a list of components and checksums. The same commit gives the same bytes.

mod archive;
mod binary;
mod check;
mod image;
mod index;
mod licences;
mod packages;
mod release;
mod reproducible;
mod sbom;
mod tree;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};

use self::{release::Release, tree::Tree};
use crate::{arch::Arch, store, target::Target, workspace::Workspace};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to put it; an earlier release there is replaced [default: dist in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The only processor to build for [default: all that can be built for here]
    #[arg(long, value_enum)]
    arch: Option<Arch>,
    /// Make it twice and compare; install each package, run it and remove it, as root
    #[arg(long)]
    check: bool,
    /// With --check, also compile the binary twice
    #[arg(long, requires = "check")]
    rebuild: bool,
}

pub(crate) fn main(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let out = args.out.clone().unwrap_or_else(|| workspace.target.join("dist"));
    let releases = make(workspace, &processors(workspace, args.arch)?, &out)?;
    for name in archive::files(&out)? {
        println!("{}", out.join(name).display());
    }
    if args.check {
        check_all(workspace, &releases, args.rebuild)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the release into the cache of cargo's, and checks it there.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let releases = make(workspace, &processors(workspace, None)?, &workspace.target.join("dist"))?;
    check_all(workspace, &releases, false)
}

/// What is for another processor can be compared, but not installed.
fn check_all(workspace: &Workspace, releases: &[Release], rebuild: bool) -> Result<()> {
    reproducible::check(workspace, releases, rebuild)?;
    let host = Arch::host()?;
    releases.iter().filter(|release| release.arch == host).try_for_each(|release| check::installed(workspace, release))
}

/// The processors to build for. A word is said of one that cannot be built for here.
fn processors(workspace: &Workspace, only: Option<Arch>) -> Result<Vec<Arch>> {
    if let Some(only) = only {
        return Ok(vec![only]);
    }
    let mut all = Vec::new();
    for arch in Arch::ALL {
        match Target::provide(workspace, arch) {
            Ok(_) => all.push(arch),
            Err(error) => {
                println!("NOT MADE: the release for {}, since nothing builds for it: {error:#}", arch.kernel());
            }
        }
    }
    Ok(all)
}

fn make(workspace: &Workspace, processors: &[Arch], out: &Path) -> Result<Vec<Release>> {
    let out = std::path::absolute(out).with_context(|| format!("{} is no path", out.display()))?;
    let mut releases = Vec::new();
    for arch in processors {
        let work = workspace.target.join("dist-work").join(arch.kernel());
        let mut release = Release::of(workspace, *arch, &out, &work)?;
        release.binary = binary::build(workspace, &release, &workspace.target)?;
        releases.push(release);
    }
    package(workspace, &releases)?;
    Ok(releases)
}

/// Everything but the binaries.
fn package(workspace: &Workspace, releases: &[Release]) -> Result<()> {
    let first = releases.first().context("there is no processor to build for")?;
    let is_ours = first.out.join(archive::CHECKSUMS).exists();
    if !is_ours && archive::files(&first.out).is_ok_and(|files| !files.is_empty()) {
        bail!("{} holds something else than a release: name another directory by --out", first.out.display());
    }
    for directory in releases.iter().map(|release| &release.work).chain([&first.out]) {
        store::remove(directory)?;
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    // From the first file on it can be told for ours, though we may be interrupted.
    tree::write(&first.out.join(archive::CHECKSUMS), "")?;
    for release in releases {
        let tree = Tree::make(workspace, release)?;
        archive::make(release, &tree)?;
        packages::make(workspace, release, &tree)?;
        image::make(workspace, release, &tree)?;
        sbom::make(workspace, release)?;
        archive::object(workspace, release)?;
    }
    index::make(releases, first)?;
    archive::sources(workspace, first)?;
    archive::checksums(first)
}
