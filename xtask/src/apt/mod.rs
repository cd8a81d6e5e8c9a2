//! Debian's package manager, where there is one.

mod private;

use std::{collections::HashMap, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

pub(crate) use self::private::Private;
use crate::{privilege, process, store};

/// Whether this system is managed by apt.
pub(crate) fn is_here() -> bool {
    which::which("apt-get").is_ok() && which::which("apt-cache").is_ok()
}

/// Whether packages can be installed without asking anybody for a password.
pub(crate) fn can_install() -> bool {
    is_here() && privilege::is_root_silently()
}

/// The version that apt would install, for each of the packages that it knows.
pub(crate) fn candidates(packages: &[&str]) -> Result<HashMap<String, String>> {
    let policy = process::capture(apt_cache().arg("policy").args(packages))?;
    Ok(parse_policy(&policy))
}

fn parse_policy(policy: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut package = "";
    for line in policy.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            package = name;
        } else if let Some(version) = line.trim_start().strip_prefix("Candidate: ")
            && version != "(none)"
        {
            found.insert(package.to_owned(), version.to_owned());
        }
    }
    found
}

/// Fetches the package lists: a fresh system or container has none, or none that still hold.
pub(crate) fn update() -> Result<()> {
    eprintln!("fetching apt's package lists");
    process::capture(apt_get()?.arg("update")).map(drop)
}

/// The command that installs packages, for a user to type.
pub(crate) fn install_line(packages: &[&str]) -> String {
    let sudo = if privilege::is_root() { "" } else { "sudo " };
    format!("{sudo}apt-get install --no-install-recommends {}", packages.join(" "))
}

/// Installs packages, having said so.
///
/// Nothing that the user has is removed for it: `rustc-web`, for one, conflicts with `rustc`.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if !can_install() {
        bail!("apt needs root here: {}", install_line(packages));
    }
    eprintln!("installing by apt: {}", packages.join(", "));
    if try_install(packages).is_ok() {
        return Ok(());
    }
    // Lists that are out of date name files that are gone.
    update()?;
    try_install(packages).with_context(|| format!("apt cannot install {}", packages.join(", ")))
}

/// Fetches a package, and all that it needs and the system does not have.
fn download(package: &str, directory: &Path) -> Result<()> {
    let archives = format!("Dir::Cache::archives={}", directory.display());
    let mut command = Command::new("apt-get");
    command
        .env("LC_ALL", "C")
        .args(["--quiet", "install", "--yes", "--no-install-recommends", "--download-only"])
        // Neither the system's cache nor its locks are touched.
        .args(["-o", &archives, "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root", package]);
    process::capture(&mut command).map(drop)
}

/// Unpacks a package, and those that it needs and the system does not have, into a directory, without installing it.
pub(crate) fn unpack(package: &str, directory: &Path) -> Result<()> {
    let archives = directory.join("archives");
    fs::create_dir_all(archives.join("partial")).with_context(|| format!("cannot create {}", archives.display()))?;
    eprintln!("fetching the package {package}");
    if download(package, &archives).is_err() {
        // Lists that are out of date name files that are gone.
        update()?;
        download(package, &archives)?;
    }
    unpack_all(&archives, directory)?;
    store::remove(&archives)
}

/// Unpacks the packages that are in a directory into another one.
fn unpack_all(archives: &Path, directory: &Path) -> Result<()> {
    for package in fs::read_dir(archives)?.flatten() {
        if package.path().extension().is_some_and(|it| it == "deb") {
            process::capture(Command::new("dpkg").arg("-x").arg(package.path()).arg(directory))?;
        }
    }
    Ok(())
}

/// The version of a package that is installed.
pub(crate) fn installed(package: &str) -> Option<String> {
    let said =
        process::capture(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", package])).ok()?;
    (!said.is_empty()).then_some(said)
}

fn try_install(packages: &[&str]) -> Result<()> {
    let mut command = apt_get()?;
    command
        .args(["install", "--yes", "--no-install-recommends", "--no-remove"])
        .args(["-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"])
        .args(packages);
    process::capture(&mut command).map(drop)
}

fn apt_cache() -> Command {
    let mut command = Command::new("apt-cache");
    command.env("LC_ALL", "C");
    command
}

/// `env` because sudo passes no environment on.
fn apt_get() -> Result<Command> {
    let mut command = privilege::as_root("env")?;
    command.args(["LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_without_a_candidate_is_no_candidate() {
        let policy = "rustc:\n  Installed: (none)\n  Candidate: 1.63.0+dfsg1-2\n  Version table:\n\
                      \x20    1.63.0+dfsg1-2 500\nlibstd-rust-dev-bpf:\n  Installed: (none)\n\
                      \x20 Candidate: (none)\n  Version table:\n";
        let found = parse_policy(policy);
        assert_eq!(found.get("rustc").map(String::as_str), Some("1.63.0+dfsg1-2"));
        assert_eq!(found.len(), 1);
    }
}
