//! The files of a release, and where a distribution looks for each.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{binary, licences, release::Release};
use crate::{process, workspace::Workspace};

/// Who a package is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distribution {
    Debian,
    Fedora,
}

/// The files of a release in one directory, by these names.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pages: Vec<String>,
}

/// A file and its place.
pub(crate) struct Installed {
    /// Relative to the tree's root.
    pub(crate) source: String,
    /// The whole path, without the leading slash.
    pub(crate) place: String,
    pub(crate) mode: &'static str,
}

pub(crate) const NOTICES: &str = "THIRD-PARTY-NOTICES";
const LICENCES: [&str; 2] = ["LICENSE-MIT", "LICENSE-APACHE"];

impl Tree {
    /// Puts together all files but the packages' own.
    pub(crate) fn make(workspace: &Workspace, release: &Release) -> Result<Self> {
        let root = release.work.join("tree");
        fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
        copy(&release.binary, &root.join("tracer"))?;
        for name in LICENCES.into_iter().chain(["README.md", "CHANGELOG.md"]) {
            copy(&workspace.root.join(name), &root.join(name))?;
        }
        write(&root.join(NOTICES), &licences::text(workspace, release)?)?;
        binary::pages(workspace, &root)?;
        let man = root.join("man");
        let entries = fs::read_dir(&man).with_context(|| format!("cannot read {}", man.display()))?;
        let mut pages: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        pages.sort();
        // By Debian's name for it.
        copy(&workspace.root.join("CHANGELOG.md"), &root.join("changelog"))?;
        // Without a name and a time in it.
        let compressed = pages.iter().map(|page| man.join(page)).chain([root.join("changelog")]);
        process::run(Command::new("gzip").args(["-9", "--no-name", "--force"]).args(compressed))?;
        Ok(Self { root, pages })
    }

    /// Where a distribution's package puts the files.
    pub(crate) fn installed(&self, distribution: Distribution) -> Vec<Installed> {
        let file = |source: &str, place: String| Installed { source: source.to_owned(), place, mode: "644" };
        let (zsh, licences) = match distribution {
            Distribution::Debian => ("vendor-completions", "doc/tracer"),
            Distribution::Fedora => ("site-functions", "licenses/tracer"),
        };
        let mut files = vec![
            Installed { source: "tracer".to_owned(), place: "usr/bin/tracer".to_owned(), mode: "755" },
            file("completions/tracer.bash", "usr/share/bash-completion/completions/tracer".to_owned()),
            file("completions/_tracer", format!("usr/share/zsh/{zsh}/_tracer")),
            file("completions/tracer.fish", "usr/share/fish/vendor_completions.d/tracer.fish".to_owned()),
            file(NOTICES, format!("usr/share/{licences}/{NOTICES}")),
            file("README.md", "usr/share/doc/tracer/README.md".to_owned()),
        ];
        files.extend(
            self.pages.iter().map(|page| file(&format!("man/{page}.gz"), format!("usr/share/man/man1/{page}.gz"))),
        );
        match distribution {
            // Its own copyright file names the licences, whose texts every system has.
            Distribution::Debian => {
                files.push(file("changelog.gz", "usr/share/doc/tracer/changelog.gz".to_owned()));
                files.push(file("lintian-overrides", "usr/share/lintian/overrides/tracer".to_owned()));
            }
            Distribution::Fedora => {
                files.push(file("CHANGELOG.md", "usr/share/doc/tracer/CHANGELOG.md".to_owned()));
                files.extend(LICENCES.map(|name| file(name, format!("usr/share/licenses/tracer/{name}"))));
            }
        }
        files
    }
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
