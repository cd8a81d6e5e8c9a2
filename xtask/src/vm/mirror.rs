//! Where this machine gets Debian from: asked of apt, so that every form of its configuration,
//! a proxy and a local mirror count.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::catalogue::Archive;
use crate::{apt, process};

/// The address of one of Debian's archives.
pub(crate) fn address(archive: Archive) -> Result<String> {
    if !apt::is_here() {
        bail!("kernels are fetched by apt, which is not here: give one by --kernel PATH");
    }
    // Says what an update would fetch, for which neither lists, network nor root are needed.
    let listing = process::capture(
        Command::new("apt-get").args(["update", "--print-uris", "-o", "Debug::NoLocking=1"]).env("LC_ALL", "C"),
    )?;
    of_listing(&listing, archive)
        .context("apt has no Debian archive among its sources here: give a kernel by --kernel PATH")
}

/// Finds the archive among lines such as
/// `'http://archive.example/debian/dists/bookworm/InRelease' archive.example_debian_... 0`.
///
/// The two archives lie side by side, so that either tells of the other.
fn of_listing(listing: &str, archive: Archive) -> Option<String> {
    let addresses = listing.lines().filter_map(|line| {
        let (address, _) = line.strip_prefix('\'')?.split_once("/dists/")?;
        Some(address)
    });
    addresses.into_iter().find_map(|address| {
        let (parent, name) = address.rsplit_once('/')?;
        // A list of mirrors is named like the archive (mirror+file:/etc/apt/mirrors/debian.list).
        let (name, suffix) = match name.strip_suffix(".list") {
            Some(name) => (name, ".list"),
            None => (name, ""),
        };
        if !matches!(name, "debian" | "debian-security") {
            return None;
        }
        let name = match archive {
            Archive::Main => "debian",
            Archive::Security => "debian-security",
        };
        Some(format!("{parent}/{name}{suffix}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_tells_of_its_sibling() {
        let listing = "'https://other.example/repo/dists/any/InRelease' other 0\n\
                       'http://mirror.example/pub/debian/dists/bookworm/InRelease' name 0 \n";
        assert_eq!(
            of_listing(listing, Archive::Security).as_deref(),
            Some("http://mirror.example/pub/debian-security")
        );
        assert_eq!(of_listing(listing, Archive::Main).as_deref(), Some("http://mirror.example/pub/debian"));
    }

    #[test]
    fn a_list_of_mirrors_is_an_archive_too() {
        let listing = "'mirror+file:/etc/apt/mirrors/debian.list/dists/trixie/InRelease' name 0\n";
        assert_eq!(
            of_listing(listing, Archive::Security).as_deref(),
            Some("mirror+file:/etc/apt/mirrors/debian-security.list")
        );
    }

    #[test]
    fn other_distributions_are_not_debian() {
        let listing = "'http://archive.ubuntu.com/ubuntu/dists/noble/InRelease' name 0\n";
        assert_eq!(of_listing(listing, Archive::Main), None);
    }
}
