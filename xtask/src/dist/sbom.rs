//! The list of components (SBOM), in CycloneDX's form.

use std::fs;

use anyhow::{Context as _, Result};

use super::release::Release;
use crate::{process, tools, workspace::Workspace};

/// cargo-cyclonedx writes beside each package's manifest, and names no other place.
const NAME: &str = "tracer-components";

/// Where the packages of the workspace are, each of which gets a list.
const PACKAGES: [&str; 4] = ["tracer", "tracer-ebpf", "tracer/fuzz", "xtask"];

/// Makes the list of what the binary is made from.
pub(crate) fn make(workspace: &Workspace, release: &Release) -> Result<()> {
    let mut command = release.command(tools::CYCLONEDX.provide(workspace)?);
    command
        .args(["cyclonedx", "--format", "json", "--spec-version", "1.5", "--no-build-deps"])
        .args(["--target", release.arch.target(), "--override-filename", NAME, "--quiet"])
        .arg("--manifest-path")
        .arg(workspace.root.join("Cargo.toml"));
    let made = process::capture(&mut command);
    let list = |package: &str| workspace.root.join(package).join(format!("{NAME}.json"));
    let read = fs::read_to_string(list("tracer"));
    for package in PACKAGES {
        // Whether there is one or not, none is to be there.
        let _ = fs::remove_file(list(package));
    }
    made?;
    // Our own packages are told by the path that they were built in.
    let text = read.context("cargo-cyclonedx wrote no list for tracer")?;
    let text = text.replace(&*workspace.root.to_string_lossy(), "/tracer");
    super::tree::write(&release.out.join(format!("{}.cdx.json", release.name())), &text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn no_package_is_left_with_a_list() {
        let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml")).unwrap();
        let line = manifest.lines().find_map(|line| line.strip_prefix("members = ")).expect("it has members");
        let mut members: Vec<String> = serde_json::from_str(line).expect("a list of texts");
        members.sort();
        assert_eq!(members, PACKAGES);
    }
}
