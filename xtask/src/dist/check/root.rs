//! A root directory with Debian's packages, made once by mmdebstrap and copied for each use.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::{apt, process, store, workspace::Workspace};

/// The oldest release of Debian's that is still maintained and has a kernel that is new enough.
const SUITE: &str = "bookworm";

/// Starts a command there, with this machine's devices and `/sys`, in a mount namespace that ends with it.
const ENTER: &str = "\
root=$1; shift
mount -t proc proc \"$root/proc\"
mount --rbind /sys \"$root/sys\"
mount --rbind /dev \"$root/dev\"
exec chroot \"$root\" \"$@\"";

/// What changes by itself, or by other packages' hooks.
const VOLATILE: [&str; 6] = ["/proc", "/sys", "/dev", "/var/cache", "/var/lib/dpkg", "/var/log"];

pub(super) struct Root {
    directory: TempDir,
}

impl Root {
    /// A minimal Debian with some packages more.
    pub(super) fn with(workspace: &Workspace, packages: &[&str]) -> Result<Self> {
        let name = format!("{SUITE}-{}", packages.join("-"));
        let make = |home: &Path| make(packages, home);
        let original = store::provide(&workspace.cache.join("roots"), &name, false, make)?;
        let directory = tempfile::tempdir_in(&workspace.target).context("cannot create a directory")?;
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--reflink=auto"]).arg(original.join(".")).arg(directory.path());
        process::capture(&mut copy)?;
        Ok(Self { directory })
    }

    /// A place there, as this system sees it.
    pub(super) fn path(&self, place: &str) -> PathBuf {
        self.directory.path().join(place.trim_start_matches('/'))
    }

    /// Runs a command there and returns what it prints.
    pub(super) fn run(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-euc", ENTER, "sh"])
            .arg(self.directory.path())
            .args(words)
            .env_clear()
            .envs([
                ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
                ("LC_ALL", "C.UTF-8"),
                ("HOME", "/root"),
                ("TERM", "dumb"),
            ]);
        process::capture(&mut command)
    }

    /// All files below a directory there, but for those that change by themselves.
    pub(super) fn files(&self, below: &str) -> Result<BTreeSet<String>> {
        let listing = self.run(&["find", below, "-xdev"])?;
        let stays = |path: &&str| !VOLATILE.iter().any(|place| path.starts_with(place));
        Ok(listing.lines().filter(stays).map(str::to_owned).collect())
    }
}

fn make(packages: &[&str], home: &Path) -> Result<()> {
    if which::which("mmdebstrap").is_err() {
        apt::install(&["mmdebstrap"])?;
    }
    eprintln!("making a Debian {SUITE} with {} (a minute)", packages.join(", "));
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--quiet", "--variant=minbase"])
        .arg(format!("--include={}", packages.join(",")))
        .arg(SUITE)
        .arg(home);
    process::capture(&mut command).map(drop)
}
