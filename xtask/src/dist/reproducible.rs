//! Whether the same commit gives the same bytes.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use super::{archive, binary, package, release::Release};
use crate::{store, workspace::Workspace};

/// Packs the binaries once more, in other directories, and compares; compiles them once more, if that is asked for.
pub(crate) fn check(workspace: &Workspace, releases: &[Release], rebuild: bool) -> Result<()> {
    let second = workspace.target.join("dist-second");
    let again: Vec<Release> = releases.iter().map(|release| release.made_in(&second)).collect();
    let (Some(one), Some(other)) = (releases.first(), again.first()) else { return Ok(()) };
    if rebuild {
        for release in releases {
            let rebuilt = binary::build(workspace, release, &second.join("target"))?;
            same(&release.binary, &rebuilt)?;
            println!("two builds of the binary for {} have the same bytes", release.arch.kernel());
        }
    }
    package(workspace, &again)?;
    let names = archive::files(&one.out)?;
    if names != archive::files(&other.out)? {
        bail!("{} and {} have different files", one.out.display(), other.out.display());
    }
    for name in &names {
        same(&one.out.join(name), &other.out.join(name))?;
    }
    println!("two runs gave the same bytes: {} files", names.len());
    store::remove(&second)
}

fn same(first: &Path, second: &Path) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    if read(first)? != read(second)? {
        bail!("{} and {} differ: diffoscope tells where", first.display(), second.display());
    }
    Ok(())
}
