//! Directories in the cache that are made once: whole or not at all, by one run at a time.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use nix::fcntl::{Flock, FlockArg};

/// The directory `name` in `store`, filled by `make` if it is not there or is wanted anew.
pub(crate) fn provide(store: &Path, name: &str, anew: bool, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    fs::create_dir_all(store).with_context(|| format!("cannot create {}", store.display()))?;
    let _lock = lock(&store.join(format!("{name}.lock")))?;
    let home = store.join(name);
    if anew || !home.exists() {
        // Beside its final place.
        let partial = store.join(format!("{name}.partial"));
        remove(&partial)?;
        make(&partial)?;
        remove(&home)?;
        fs::rename(&partial, &home).with_context(|| format!("cannot move {} into place", partial.display()))?;
    }
    Ok(home)
}

/// Removes a directory, if it is there.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    Ok(())
}

fn lock(path: &Path) -> Result<Flock<File>> {
    let failed = || format!("cannot lock {}", path.display());
    let file = File::create(path).with_context(failed)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).with_context(failed)
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn it_is_made_once_and_whole() -> Result<()> {
        let store = tempfile::tempdir()?;
        let fill = |directory: &Path| -> Result<()> {
            fs::create_dir(directory)?;
            fs::write(directory.join("file"), "1")?;
            Ok(())
        };
        let half = |directory: &Path| -> Result<()> {
            fill(directory)?;
            bail!("half done")
        };
        assert!(provide(store.path(), "it", false, half).is_err());
        assert!(!store.path().join("it").exists());
        let made = provide(store.path(), "it", false, fill)?;
        assert_eq!(provide(store.path(), "it", false, half)?, made);
        assert!(made.join("file").exists());
        assert!(provide(store.path(), "it", true, half).is_err(), "anew");
        assert!(made.join("file").exists(), "what was there stays");
        Ok(())
    }
}
