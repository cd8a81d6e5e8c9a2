//! The image for all processors: an index of those for each, from which whoever runs it takes the one that fits
//! (<https://github.com/opencontainers/image-spec/blob/main/image-index.md>). umoci makes none.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{archive, image, release::Release, tree};
use crate::process;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Makes it of the images, with what `release` says of all.
pub(crate) fn make(releases: &[Release], release: &Release) -> Result<()> {
    let layout = release.work.join("index");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).with_context(|| format!("cannot create {}", blobs.display()))?;
    let mut manifests = Vec::new();
    for one in releases {
        let image = image::layout(one);
        copy_all(&image.join("blobs/sha256"), &blobs)?;
        tree::copy(&image.join("oci-layout"), &layout.join("oci-layout"))?;
        manifests.push(manifest(&image.join("index.json"), one)?);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string();
    let path = layout.join("index.json");
    tree::write(&path, &index)?;
    let digest = sha256(&path)?;
    fs::rename(&path, blobs.join(&digest)).with_context(|| format!("cannot move {}", path.display()))?;
    let entry = json!({
        "mediaType": INDEX,
        "digest": format!("sha256:{digest}"),
        "size": index.len(),
        "annotations": { "org.opencontainers.image.ref.name": release.version },
    });
    tree::write(&path, &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] }).to_string())?;
    let name = format!("tracer-{}.oci.tar", release.version);
    archive::tar(release, &layout, Path::new("."), &release.out.join(name))
}

/// What an image's own index says of it, and the processor that it is for.
fn manifest(index: &Path, release: &Release) -> Result<Value> {
    let text = fs::read_to_string(index).with_context(|| format!("cannot read {}", index.display()))?;
    let index: Value = serde_json::from_str(&text).context("umoci's index is not JSON")?;
    let manifest = index["manifests"].get(0).context("umoci's index is empty")?;
    let part = |name: &str| manifest.get(name).with_context(|| format!("umoci's index has no {name}"));
    Ok(json!({
        "mediaType": part("mediaType")?,
        "digest": part("digest")?,
        "size": part("size")?,
        "platform": { "os": "linux", "architecture": release.arch.debian() },
    }))
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    let files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.iter().try_for_each(|file| tree::copy(file, &to.join(file.file_name().unwrap_or_default())))
}

fn sha256(path: &Path) -> Result<String> {
    let said = process::capture(Command::new("sha256sum").arg(path))?;
    Ok(said.split(' ').next().unwrap_or_default().to_owned())
}
