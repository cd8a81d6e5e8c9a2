//! Whether the same commit gives the same bytes.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use super::{archive, binary, package, release::Release};
use crate::{store, workspace::Workspace};

/// Packs the binary once more, in other directories, and compares; compiles it once more, if that is asked for.
pub(crate) fn check(workspace: &Workspace, release: &Release, rebuild: bool) -> Result<()> {
    let second = workspace.target.join("dist-second");
    let binary = release.work.join("tree/tracer");
    let again = release.made_in(second.join("out"), second.join("work"));
    if rebuild {
        let rebuilt = binary::build(workspace, &again, &second.join("target"))?;
        same(&binary, &rebuilt)?;
        println!("two builds of the binary have the same bytes");
    }
    package(workspace, &again, &binary)?;
    let names = archive::files(&release.out)?;
    if names != archive::files(&again.out)? {
        bail!("{} and {} have different files", release.out.display(), again.out.display());
    }
    for name in &names {
        same(&release.out.join(name), &again.out.join(name))?;
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
