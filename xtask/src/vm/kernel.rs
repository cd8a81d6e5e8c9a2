//! A kernel to boot: one from the cache, or one that the user names.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::catalogue::Series;
use crate::arch::Arch;

/// A kernel image and the directory of its modules.
#[derive(Clone)]
pub(crate) struct Kernel {
    /// What its output is marked with.
    pub(crate) name: String,
    pub(crate) arch: Arch,
    /// See [`Series::left_out`].
    pub(crate) left_out: &'static [&'static str],
    pub(crate) image: PathBuf,
    /// `lib/modules/RELEASE`; a kernel without one is taken to have all that is needed built in.
    pub(crate) modules: Option<PathBuf>,
}

impl Kernel {
    /// A kernel in a tree of unpacked packages.
    pub(crate) fn in_tree(series: &Series, tree: &Path) -> Result<Self> {
        let modules = ["lib/modules", "usr/lib/modules"]
            .iter()
            .find_map(|path| only_entry(&tree.join(path)))
            .with_context(|| format!("{} holds no modules: fetch it again", tree.display()))?;
        // Beside the modules from 6.19, in /boot before.
        let release = modules.file_name().unwrap_or_default().to_string_lossy();
        let images = [modules.join("vmlinuz"), tree.join("boot").join(format!("vmlinuz-{release}"))];
        let Some(image) = images.into_iter().find(|image| image.exists()) else {
            bail!("{} holds no kernel image: fetch it again", tree.display());
        };
        Ok(Self {
            name: series.name.to_owned(),
            arch: series.arch,
            left_out: series.left_out,
            image,
            modules: Some(modules),
        })
    }

    /// A kernel that did not come from Debian, for this computer's processor.
    pub(crate) fn external(image: &Path, modules: Option<&Path>) -> Result<Self> {
        if !image.is_file() {
            bail!("{} is no kernel image", image.display());
        }
        if let Some(modules) = modules
            && !modules.join("kernel").is_dir()
        {
            bail!("{} is no directory of modules: name one like /lib/modules/RELEASE", modules.display());
        }
        Ok(Self {
            name: image.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            arch: Arch::host()?,
            left_out: &[],
            image: image.to_owned(),
            modules: modules.map(Path::to_owned),
        })
    }

    /// The build, as the kernel names it.
    pub(crate) fn release(&self) -> String {
        let name = self.modules.as_deref().and_then(Path::file_name);
        name.unwrap_or_default().to_string_lossy().into_owned()
    }
}

fn only_entry(directory: &Path) -> Option<PathBuf> {
    let entry = fs::read_dir(directory).ok()?.next()?.ok()?;
    Some(entry.path())
}
