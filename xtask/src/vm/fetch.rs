//! Fetches a kernel and its modules from Debian into the cache, without root and without touching
//! the machine's own package lists: apt gets a configuration of its own for the purpose.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::{catalogue::Series, kernel::Kernel, mirror};
use crate::{process, store, workspace::Workspace};

/// The build for virtual machines: it boots fast and has all modules that the tests need.
const FLAVOUR: &str = "cloud-amd64";

/// What a kernel's packages are called before its release. From 6.19 the image's package is empty
/// and the others hold what used to be in it.
const PARTS: [&str; 4] = ["image", "binary", "modules", "base"];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The kernel of a series, fetched if it is not in the cache or is to be fetched anew.
pub(crate) fn kernel(workspace: &Workspace, series: &Series, refresh: bool) -> Result<Kernel> {
    let home = store::provide(&cache(workspace), series.name, refresh, |directory| download(series, directory))?;
    Kernel::in_tree(series.name, &home)
}

/// The kernel of a series, if it is in the cache.
pub(crate) fn cached(workspace: &Workspace, series: &Series) -> Option<Kernel> {
    Kernel::in_tree(series.name, &cache(workspace).join(series.name)).ok()
}

fn cache(workspace: &Workspace) -> PathBuf {
    workspace.cache.join("kernels")
}

fn download(series: &Series, directory: &Path) -> Result<()> {
    let apt = Apt::configure(series, &directory.join("apt"))?;
    apt.capture("apt-get", &["update", "--quiet"])?;
    let pattern = format!("^linux-({})-{}\\..*-{FLAVOUR}$", PARTS.join("|"), series.name.replace('.', "\\."));
    let listing = apt.capture("apt-cache", &["search", "--names-only", &pattern])?;
    let names: Vec<&str> = listing.split_whitespace().filter(|it| it.starts_with("linux-")).collect();
    let release = newest_release(&names).ok_or_else(|| anyhow!("{} has no kernel {}", series.suite, series.name))?;
    eprintln!("fetching Linux {release} from {}", series.suite);
    let packages: Vec<&str> = names.iter().filter(|name| name.ends_with(&format!("-{release}"))).copied().collect();
    apt.capture("apt-get", &[&["download", "--quiet"], &packages[..]].concat())?;
    for package in fs::read_dir(&apt.directory)?.flatten() {
        if package.path().extension().is_some_and(|it| it == "deb") {
            process::capture(Command::new("dpkg").arg("-x").arg(package.path()).arg(directory))?;
        }
    }
    store::remove(&apt.directory)
}

/// An apt that knows one suite only.
struct Apt {
    directory: PathBuf,
    options: Vec<String>,
}

impl Apt {
    fn configure(series: &Series, directory: &Path) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!("Debian's keys are not here: install the package debian-archive-keyring");
        }
        let address = mirror::address(series.archive)?;
        let failed = || format!("cannot set up {}", directory.display());
        for name in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(name)).with_context(failed)?;
        }
        let sources = directory.join("sources.list");
        let source = format!("deb [signed-by={KEYRING} arch=amd64] {address} {} main\n", series.suite);
        fs::write(&sources, source).with_context(failed)?;
        let set = |name, path: &Path| format!("{name}={}", path.display());
        Ok(Self {
            directory: directory.to_owned(),
            options: vec![
                set("Dir::State", &directory.join("state")),
                set("Dir::Cache", &directory.join("cache")),
                set("Dir::Etc::SourceList", &sources),
                set("Dir::Etc::SourceParts", Path::new("/dev/null")),
                // Translations of descriptions, and a user that may not write here.
                "Acquire::Languages=none".to_owned(),
                "APT::Sandbox::User=root".to_owned(),
            ],
        })
    }

    fn capture(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        process::capture(command.args(args).current_dir(&self.directory).env("LC_ALL", "C"))
    }
}

/// The release of the newest kernel among package names.
fn newest_release<'a>(packages: &[&'a str]) -> Option<&'a str> {
    let releases = packages.iter().filter_map(|name| {
        PARTS.iter().find_map(|part| name.strip_prefix("linux-")?.strip_prefix(part)?.strip_prefix('-'))
    });
    releases.max_by_key(|release| numbers(release))
}

/// The numbers in a release, which order releases as text does not: 6.12.100 comes after 6.12.95.
fn numbers(release: &str) -> Vec<u64> {
    let release = release.trim_end_matches(FLAVOUR);
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
        assert_eq!(newest_release(&packages), Some("6.12.100+deb13.1-cloud-amd64"));
        assert_eq!(newest_release(&[]), None);
    }
}
