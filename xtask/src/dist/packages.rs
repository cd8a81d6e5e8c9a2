//! `.deb` and `.rpm`: by cargo-deb and cargo-generate-rpm, which read a manifest that names the files of the tree.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::{
    release::Release,
    tree::{self, Distribution, Tree},
};
use crate::{process, tools, workspace::Workspace};

/// In Debian's style, and as RPM has it.
const DESCRIPTION: &str = "says why a TCP connection was reset, and how it opened";
const SUMMARY: &str = "Says why a TCP connection was reset, and how it opened";

const MAINTAINER: &str = "The tracer authors <tracer@users.noreply.github.com>";

const EXTENDED: &str = "\
tracer asks the Linux kernel, through eBPF. It sees every state change of every TCP socket and every RST that this host \
sends or receives, with the segment that provoked it, the process that owns the socket, and the kernel functions that \
led there. For each RST it says the cause, how sure that is, what the evidence is, and what to do.";

/// What lintian complains of and is meant.
const OVERRIDES: &str = "\
# It runs on whatever a system has, and loads no modules of another glibc.
tracer binary: statically-linked-binary [usr/bin/tracer]
# A static binary that may lie anywhere (PIE) is taken for a library.
tracer binary: shared-library-lacks-prerequisites [usr/bin/tracer]
# It depends on nothing, and cargo-deb writes the field all the same.
tracer binary: empty-field Depends
# It is not Debian's own package.
tracer binary: initial-upload-closes-no-bugs
";

/// What Debian's copyright file says after the notice of copyright.
const COPYRIGHT: &str = "\
MIT or Apache-2.0, at your option. On Debian systems the text of the Apache License, version 2.0, is in
/usr/share/common-licenses/Apache-2.0.

";

/// Makes both, in the order in which they are returned.
pub(crate) fn make(workspace: &Workspace, release: &Release, tree: &Tree) -> Result<()> {
    tree::write(&tree.root.join("lintian-overrides"), OVERRIDES)?;
    tree::write(&tree.root.join("copyright"), &copyright(workspace)?)?;
    tree::write(&tree.root.join("changelog.debian"), &changelog(release)?)?;
    tree::write(&tree.root.join("Cargo.toml"), &manifest(release, tree))?;
    // A package has a target.
    tree::write(&tree.root.join("empty.rs"), "")?;
    let manifest = tree.root.join("Cargo.toml");
    let mut deb = release.command(tools::DEB.provide(workspace)?);
    deb.args(["--no-build", "--no-strip", "--no-dbgsym", "--quiet", "--target", release.arch.target()])
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--output")
        .arg(release.out.join(format!("tracer_{}_{}.deb", release.version, release.arch.debian())))
        .current_dir(&tree.root);
    process::capture(&mut deb)?;
    let mut rpm = release.command(tools::RPM.provide(workspace)?);
    rpm.args(["--auto-req", "disabled", "--target", release.arch.target()])
        .arg("--output")
        .arg(release.out.join(format!("tracer-{}-1.{}.rpm", release.version, release.arch.kernel())))
        .current_dir(&tree.root);
    process::capture(&mut rpm).map(drop)
}

/// Debian's form, for its tools; what changed is in the other one.
fn changelog(release: &Release) -> Result<String> {
    let mut date = release.command("date");
    let date = process::capture(date.args(["--utc", "--rfc-email"]).arg(format!("--date=@{}", release.epoch)))?;
    let version = release.version;
    Ok(format!(
        "tracer ({version}-1) stable; urgency=medium\n\n  * Release {version}: see changelog.gz.\n\n -- {MAINTAINER}  {date}"
    ))
}

fn copyright(workspace: &Workspace) -> Result<String> {
    let path = workspace.root.join("LICENSE-MIT");
    let mit = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let library = "The binary has parts under other licences, see THIRD-PARTY-NOTICES beside this file: btf-rs is under the\n\
                   LGPL, version 2.1 or later, whose text is in /usr/share/common-licenses/LGPL-2.1.\n";
    Ok([COPYRIGHT, &mit, "\n", library].concat())
}

/// Paths and words are without quotes and backslashes, so that Rust's strings are TOML's.
fn manifest(release: &Release, tree: &Tree) -> String {
    let assets = |distribution, entry: &dyn Fn(&str, &str, &str) -> String| {
        let lines = tree.installed(distribution).into_iter().map(|it| entry(&it.source, &it.place, it.mode));
        lines.collect::<Vec<_>>().join(",\n    ")
    };
    let deb = assets(Distribution::Debian, &|source, place, mode| format!("[{source:?}, {place:?}, {mode:?}]"));
    let rpm = assets(Distribution::Fedora, &|source, place, mode| {
        let is_doc = ["usr/share/doc", "usr/share/man"].iter().any(|below| Path::new(place).starts_with(below));
        let is_doc = if is_doc { ", doc = true" } else { "" };
        format!("{{ source = {source:?}, dest = \"/{place}\", mode = \"0{mode}\"{is_doc} }}")
    });
    format!(
        "[workspace]\n\
         [package]\n\
         name = \"tracer\"\n\
         version = {version:?}\n\
         edition = \"2024\"\n\
         license = \"(MIT OR Apache-2.0) AND LGPL-2.1-or-later\"\n\
         description = {DESCRIPTION:?}\n\
         [lib]\n\
         path = \"empty.rs\"\n\
         [package.metadata.deb]\n\
         maintainer = {MAINTAINER:?}\n\
         copyright = \"2026, The tracer authors\"\n\
         license-file = [\"copyright\", \"0\"]\n\
         changelog = \"changelog.debian\"\n\
         extended-description = {EXTENDED:?}\n\
         section = \"net\"\n\
         priority = \"optional\"\n\
         depends = []\n\
         assets = [\n    {deb}\n]\n\
         [package.metadata.generate-rpm]\n\
         summary = {SUMMARY:?}\n\
         assets = [\n    {rpm}\n]\n",
        version = release.version,
    )
}
