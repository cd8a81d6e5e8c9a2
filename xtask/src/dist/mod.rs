//! `dist`: what is given away: a static binary in an archive, packages, an image, with manual pages, completions, the
//! notices of third parties, a list of components and checksums. The same commit gives the same bytes.

mod arch;
mod archive;
mod binary;
mod check;
mod image;
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

use self::{arch::Arch, release::Release, tree::Tree};
use crate::{store, workspace::Workspace};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to put it; an earlier release there is replaced [default: dist in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The processor to build for
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
    /// Make it twice and compare; install each package, run it and remove it, as root
    #[arg(long)]
    check: bool,
    /// With --check, also compile the binary twice
    #[arg(long, requires = "check")]
    rebuild: bool,
}

pub(crate) fn main(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let out = args.out.clone().unwrap_or_else(|| workspace.target.join("dist"));
    let release = make(workspace, args.arch, &out)?;
    for name in archive::files(&release.out)? {
        println!("{}", release.out.join(name).display());
    }
    if args.check {
        reproducible::check(workspace, &release, args.rebuild)?;
        check::installed(workspace, &release)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the release into the cache of cargo's, and checks it there.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let release = make(workspace, Arch::X86_64, &workspace.target.join("dist"))?;
    reproducible::check(workspace, &release, false)?;
    check::installed(workspace, &release)
}

fn make(workspace: &Workspace, arch: Arch, out: &Path) -> Result<Release> {
    let out = std::path::absolute(out).with_context(|| format!("{} is no path", out.display()))?;
    let release = Release::of(workspace, arch, &out, &workspace.target.join("dist-work"))?;
    let binary = binary::build(workspace, &release, &workspace.target)?;
    package(workspace, &release, &binary)?;
    Ok(release)
}

/// Everything but the binary.
fn package(workspace: &Workspace, release: &Release, binary: &Path) -> Result<()> {
    let is_ours = release.out.join(archive::CHECKSUMS).exists();
    if !is_ours && archive::files(&release.out).is_ok_and(|files| !files.is_empty()) {
        bail!("{} holds something else than a release: name another directory by --out", release.out.display());
    }
    for directory in [&release.out, &release.work] {
        store::remove(directory)?;
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    // From the first file on it can be told for ours, though we may be interrupted.
    tree::write(&release.out.join(archive::CHECKSUMS), "")?;
    let tree = Tree::make(workspace, release, binary)?;
    archive::make(release, &tree)?;
    packages::make(workspace, release, &tree)?;
    image::make(workspace, release, &tree)?;
    sbom::make(workspace, release)?;
    archive::object(workspace, release)?;
    archive::sources(workspace, release)?;
    archive::checksums(release)
}
