//! Where things are: the checkout, cargo's target directory, the per-user cache.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The directories that the commands work in.
pub(crate) struct Workspace {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Where cargo put this very binary, so that nested calls share its artifacts whatever
    /// configured the place (the environment, a config file, an option).
    pub(crate) target: PathBuf,
    /// Outlives `cargo clean` and is shared by all checkouts: tools, kernels.
    pub(crate) cache: PathBuf,
}

impl Workspace {
    pub(crate) fn locate() -> Result<Self> {
        let exe = env::current_exe().context("cannot tell where this binary is")?;
        let target =
            exe.ancestors().nth(2).with_context(|| format!("{} is not in a cargo target directory", exe.display()))?;
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the xtask package is not inside the workspace")?;
        Ok(Self { root: root.to_owned(), target: target.to_owned(), cache: cache_home()?.join("tracer") })
    }
}

/// The XDG rule: an empty or relative `XDG_CACHE_HOME` counts as unset.
fn cache_home() -> Result<PathBuf> {
    let configured = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    match configured.filter(|path| path.is_absolute()) {
        Some(path) => Ok(path),
        None => Ok(env::home_dir()
            .filter(|home| home.is_absolute())
            .context("there is no home directory for the cache: set XDG_CACHE_HOME")?
            .join(".cache")),
    }
}
