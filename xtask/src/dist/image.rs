//! An image for containers that has the binary, its licences and nothing else: an OCI image layout in a tar, which
//! `podman load` and `skopeo copy oci-archive:...` take. Made by umoci, which needs no daemon.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    archive,
    release::Release,
    tree::{NOTICES, Tree},
};
use crate::{apt, process, store, workspace::Workspace};

/// What goes into the image, and where.
const CONTENT: [(&str, &str); 4] = [
    ("tracer", "/usr/bin/tracer"),
    ("LICENSE-MIT", "/usr/share/licenses/tracer/LICENSE-MIT"),
    ("LICENSE-APACHE", "/usr/share/licenses/tracer/LICENSE-APACHE"),
    (NOTICES, "/usr/share/licenses/tracer/THIRD-PARTY-NOTICES"),
];

/// Makes the image.
pub(crate) fn make(workspace: &Workspace, release: &Release, tree: &Tree) -> Result<()> {
    let umoci = program(workspace, "umoci", "usr/bin/umoci")?;
    let layout = layout(release);
    let tagged = format!("{}:{}", layout.display(), release.version);
    let time = archive::rfc3339(release)?;
    let run = |args: &[&str]| process::capture(release.command(&umoci).args(args)).map(drop);
    run(&["init", "--layout", &layout.to_string_lossy()])?;
    run(&["new", "--image", &tagged])?;
    for (source, place) in CONTENT {
        let source = tree.root.join(source);
        // The layer's files have the times of these.
        process::capture(release.command("touch").arg(format!("--date=@{}", release.epoch)).arg(&source))?;
        run(&["insert", "--rootless", "--no-history", "--image", &tagged, &source.to_string_lossy(), place])?;
    }
    let title = "--manifest.annotation=org.opencontainers.image.title=tracer";
    let version = format!("--manifest.annotation=org.opencontainers.image.version={}", release.version);
    let licences = "--manifest.annotation=org.opencontainers.image.licenses=(MIT OR Apache-2.0) AND LGPL-2.1-or-later";
    run(&[
        &["config", "--image", &tagged, "--no-history", "--os", "linux", "--created", &time][..],
        &["--architecture", release.arch.debian(), "--config.entrypoint", "/usr/bin/tracer", "--config.cmd", "rst"],
        &[title, &version, licences],
    ]
    .concat())?;
    // What each step left behind.
    run(&["gc", "--layout", &layout.to_string_lossy()])?;
    archive::tar(release, &layout, Path::new("."), &release.out.join(format!("{}.oci.tar", release.name())))
}

/// Where its image is laid out.
pub(crate) fn layout(release: &Release) -> PathBuf {
    release.work.join("image")
}

/// A program of Debian's: the one on PATH, or the package's own, unpacked into the cache.
pub(crate) fn program(workspace: &Workspace, package: &str, place: &str) -> Result<PathBuf> {
    if let Ok(program) = which::which(package) {
        return Ok(program);
    }
    let tools = workspace.cache.join("tools");
    let unpack = |home: &Path| apt::unpack(package, home);
    let home = store::provide(&tools, package, false, unpack)
        .with_context(|| format!("{package} is not on PATH: install it with your package manager"))?;
    let program = home.join(place);
    fs::metadata(&program).with_context(|| format!("the package {package} has no {place}"))?;
    process::capture(Command::new(&program).arg("--version"))
        .with_context(|| format!("{package} in {} does not run: install the package", home.display()))?;
    Ok(program)
}
