//! The notices of what is linked into the binary, as its licences ask: from the packages that cargo has fetched.
//!
//! cargo-about would do it, too, and takes ten minutes to build.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::release::Release;
use crate::{cargo, deny::cargo_home, process, workspace::Workspace};

/// How names of files with licences and notices begin.
const NOTICES: [&str; 6] = ["licen", "copying", "copyright", "notice", "unlicense", "authors"];

/// The library whose licence asks for more than a notice.
const LGPL: &str = "btf-rs";

const HEAD: &str = "\
The binary `tracer` is made from the source of tracer and of the packages below, each under the licence that is named
with it. The texts are those of the packages.
";

/// What section 6 of the LGPL asks to be said.
const RELINK: &str = "\
tracer uses the library btf-rs, which is covered by the GNU Lesser General Public License, version 2.1 or later (its text
is below, with the notices of btf-rs). You may change that library and link tracer with your version of it, and reverse
engineer tracer to debug such changes. The means are beside this package, where you got it: tracer's whole source, with
the commands that build it (tracer-*-source.tar.gz), and that of the library (btf-rs-*.crate). Unpack both, add to
tracer's Cargo.toml

    [patch.crates-io]
    btf-rs = { path = \"../btf-rs-VERSION\" }

and run `cargo xtask build`.
";

/// A package that is linked in.
struct Package {
    name: String,
    version: String,
    licence: String,
    source: PathBuf,
}

/// The text for the packages.
pub(crate) fn text(workspace: &Workspace, release: &Release) -> Result<String> {
    let mut text = [HEAD, "\n", RELINK].concat();
    for package in linked(workspace, release)? {
        let Package { name, version, licence, source } = &package;
        let rule = "=".repeat(100);
        text += &format!("\n{rule}\n{name} {version}: {licence}\n{rule}\n");
        let notices = notices(source)?;
        if notices.is_empty() {
            text += "\nThis package comes without a file that has its licence's text, which is the same for all.\n";
        }
        for notice in notices {
            let said = fs::read(&notice).with_context(|| format!("cannot read {}", notice.display()))?;
            text += &format!("\n{}\n", String::from_utf8_lossy(&said).trim_end());
        }
    }
    Ok(text)
}

/// The source of the library whose users must be able to change it.
pub(crate) fn lgpl_source(workspace: &Workspace, release: &Release) -> Result<PathBuf> {
    let packages = linked(workspace, release)?;
    let library = packages.iter().find(|package| package.name == LGPL);
    let library =
        library.with_context(|| format!("{LGPL} is not linked in any more: mend xtask/src/dist/licences.rs"))?;
    // The registry's name is the same in both.
    let file = format!("{}-{}.crate", library.name, library.version);
    let registry = library.source.parent().and_then(Path::file_name).context("the library is from no registry")?;
    Ok(cargo_home()?.join("registry/cache").join(registry).join(file))
}

/// The packages from registries that are linked in.
fn linked(workspace: &Workspace, release: &Release) -> Result<Vec<Package>> {
    let mut tree = cargo::command("tree");
    tree.args(["--package", "tracer", "--edges", "normal", "--prefix", "none", "--format", "{p}|{l}"])
        .args(["--target", release.arch.target()])
        .current_dir(&workspace.root);
    let lines: BTreeSet<String> = process::capture(&mut tree)?.lines().map(str::to_owned).collect();
    let registries = fs::read_dir(cargo_home()?.join("registry/src")).context("cargo has fetched nothing")?;
    let registries: Vec<PathBuf> = registries.flatten().map(|entry| entry.path()).collect();
    let mut packages = Vec::new();
    for line in lines {
        let Some([name, version, licence]) = parse(&line) else { continue };
        let directory = format!("{name}-{version}");
        let source = registries.iter().map(|registry| registry.join(&directory)).find(|source| source.is_dir());
        packages.push(Package {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: licence.to_owned(),
            source: source.with_context(|| format!("cargo has not fetched {directory}"))?,
        });
    }
    Ok(packages)
}

/// Reads `NAME vVERSION (proc-macro)|LICENCE`, unless the package is our own, which has its path there, or was named
/// before, which `(*)` tells.
fn parse(line: &str) -> Option<[&str; 3]> {
    let (package, licence) = line.split_once('|')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let is_known = licence.ends_with("(*)") || words.any(|word| word.starts_with("(/"));
    (!is_known).then_some([name, version, licence])
}

fn notices(source: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(source).with_context(|| format!("cannot read {}", source.display()))?;
    let is_notice = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_ascii_lowercase();
        path.is_file() && NOTICES.iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes()))
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_notice).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_of_others_is_named_once() {
        assert_eq!(parse("clap v4.6.7|MIT OR Apache-2.0"), Some(["clap", "4.6.7", "MIT OR Apache-2.0"]));
        let derive = "btf-rs-derive v2.0.0 (proc-macro)|LGPL-2.1-or-later";
        assert_eq!(parse(derive), Some(["btf-rs-derive", "2.0.0", "LGPL-2.1-or-later"]));
        assert_eq!(parse("clap v4.6.7|MIT OR Apache-2.0 (*)"), None);
        assert_eq!(parse("tracer v0.1.0 (/home/user/tracer/tracer)|MIT OR Apache-2.0"), None);
        assert_eq!(parse(""), None);
    }
}
