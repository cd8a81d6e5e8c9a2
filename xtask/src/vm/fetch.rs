//! Fetches a kernel and its modules from Debian into the cache, without root and without touching
//! the machine's own package lists: apt gets a configuration of its own for the purpose.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::{catalogue::Series, kernel::Kernel, mirror};
use crate::{apt, store, workspace::Workspace};

/// What a kernel's packages are called before its release. From 6.19 the image's package is empty
/// and the others hold what used to be in it.
const PARTS: [&str; 4] = ["image", "binary", "modules", "base"];

/// The kernel of a series, fetched if it is not in the cache or is to be fetched anew.
pub(crate) fn kernel(workspace: &Workspace, series: &Series, refresh: bool) -> Result<Kernel> {
    let home =
        store::provide(&cache(workspace), &series.directory(), refresh, |directory| download(series, directory))?;
    Kernel::in_tree(series, &home)
}

/// The kernel of a series, if it is in the cache.
pub(crate) fn cached(workspace: &Workspace, series: &Series) -> Option<Kernel> {
    Kernel::in_tree(series, &cache(workspace).join(series.directory())).ok()
}

fn cache(workspace: &Workspace) -> PathBuf {
    workspace.cache.join("kernels")
}

fn download(series: &Series, directory: &Path) -> Result<()> {
    let source = format!("{} {} main", mirror::address(series.archive)?, series.suite);
    let apt = apt::Private::configure(&directory.join("apt"), series.arch, Some(&source))?;
    apt.capture("apt-get", &["update", "--quiet"])?;
    let flavour = series.flavour();
    let pattern = format!("^linux-({})-{}\\..*-{flavour}$", PARTS.join("|"), series.version.replace('.', "\\."));
    let listing = apt.capture("apt-cache", &["search", "--names-only", &pattern])?;
    let names: Vec<&str> = listing.split_whitespace().filter(|it| it.starts_with("linux-")).collect();
    let release =
        newest_release(&names, &flavour).ok_or_else(|| anyhow!("{} has no kernel {}", series.suite, series.name))?;
    eprintln!("fetching Linux {release} from {}", series.suite);
    let packages: Vec<&str> = names.iter().filter(|name| name.ends_with(&format!("-{release}"))).copied().collect();
    apt.unpack(&packages, directory)
}

/// The release of the newest kernel among package names.
fn newest_release<'a>(packages: &[&'a str], flavour: &str) -> Option<&'a str> {
    let releases = packages.iter().filter_map(|name| {
        PARTS.iter().find_map(|part| name.strip_prefix("linux-")?.strip_prefix(part)?.strip_prefix('-'))
    });
    releases.max_by_key(|release| numbers(release, flavour))
}

/// The numbers in a release, which order releases as text does not: 6.12.100 comes after 6.12.95.
fn numbers(release: &str, flavour: &str) -> Vec<u64> {
    let release = release.trim_end_matches(flavour);
    let words = release.split(|c: char| !c.is_ascii_digit());
    words.filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_release_is_told_by_its_numbers() {
        let packages = [
            "linux-image-6.12.95+deb13-cloud-amd64",
            "linux-image-6.12.100+deb13-cloud-amd64",
            "linux-image-6.12.100+deb13.1-cloud-amd64",
            "linux-modules-6.12.9+deb13-cloud-amd64",
        ];
        assert_eq!(newest_release(&packages, "cloud-amd64"), Some("6.12.100+deb13.1-cloud-amd64"));
        assert_eq!(newest_release(&[], "cloud-amd64"), None);
    }
}
