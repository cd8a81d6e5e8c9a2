//! The kernels that the tracer is tested on: Debian's, small ones made for virtual machines.

use anyhow::{Result, bail};

use crate::arch::Arch;

/// A kernel series of one processor, and the Debian suite that its newest build is taken from.
///
/// A suite is named and no version, because an archive drops a version when the next one comes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Series {
    /// What it is called here.
    pub(crate) name: &'static str,
    pub(crate) arch: Arch,
    /// The first numbers of its releases.
    pub(crate) version: &'static str,
    pub(crate) suite: &'static str,
    pub(crate) archive: Archive,
    /// Whether `all` means it too. The others fill gaps: they help to find where a change began.
    pub(crate) is_supported: bool,
    /// The live tests that `all` leaves out there.
    pub(crate) left_out: &'static [&'static str],
}

/// Debian keeps security updates in an archive of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Archive {
    Main,
    Security,
}

/// The live tests that take longest: half of the time of all.
const DEMANDING: &[&str] = &[
    "causes::each_cause_is_told_and_no_other",
    "columns::all_mechanisms_report_the_same_or_are_refused",
    "mechanisms::an_abort_and_a_refusal_are_the_same_by_all_mechanisms",
    "room::what_a_filter_cannot_decide_is_counted",
    "starts::nothing_is_concluded",
];

pub(crate) const SERIES: [Series; 11] = [
    x86_64("5.10", "bullseye-security", Archive::Security, true),
    x86_64("6.1", "bookworm-security", Archive::Security, true),
    x86_64("6.12", "trixie-security", Archive::Security, true),
    x86_64("6.16", "trixie-backports", Archive::Main, false),
    x86_64("6.18", "trixie-backports", Archive::Main, true),
    x86_64("7.3", "trixie-backports", Archive::Main, true),
    // Five more kernels would double the time of `all`. arm64 has kprobes alone up to 6.1; fentry, but no fexit of
    // functions with many arguments, on 6.12; all from 6.18 on. So one kernel of each kind plays all tests.
    // Of what bullseye's last updates were, the archive has only those for amd64.
    arm64("5.10/arm64", "5.10", "bullseye", Archive::Main, &[]),
    arm64("6.1/arm64", "6.1", "bookworm-security", Archive::Security, DEMANDING),
    arm64("6.12/arm64", "6.12", "trixie-security", Archive::Security, &[]),
    arm64("6.18/arm64", "6.18", "trixie-backports", Archive::Main, DEMANDING),
    arm64("7.3/arm64", "7.3", "trixie-backports", Archive::Main, &[]),
];

/// Means every supported series.
pub(crate) const ALL: &str = "all";

/// Means those that `ci` takes: all takes an hour and a half on two processors that others use, too.
pub(crate) const CI: &str = "ci";

/// Those of them that are not for x86-64: arm64's kernels that can do least, and those in the middle. From 6.18 on they can
/// do what x86-64's can.
const ALSO_IN_CI: [&str; 2] = ["5.10/arm64", "6.12/arm64"];

const fn x86_64(version: &'static str, suite: &'static str, archive: Archive, is_supported: bool) -> Series {
    Series { name: version, arch: Arch::X86_64, version, suite, archive, is_supported, left_out: &[] }
}

const fn arm64(
    name: &'static str,
    version: &'static str,
    suite: &'static str,
    archive: Archive,
    left_out: &'static [&'static str],
) -> Series {
    Series { name, arch: Arch::Aarch64, version, suite, archive, is_supported: true, left_out }
}

impl Series {
    /// What its directory in the cache is called.
    pub(crate) fn directory(&self) -> String {
        self.name.replace('/', "-")
    }

    /// The build for virtual machines: it boots fast and has all modules that the tests need.
    pub(crate) fn flavour(&self) -> String {
        format!("cloud-{}", self.arch.debian())
    }
}

/// The series of that name, or all that are supported.
pub(crate) fn find(name: &str) -> Result<Vec<&'static Series>> {
    let is_meant = |it: &&Series| match name {
        ALL => it.is_supported,
        CI => it.is_supported && (it.arch == Arch::X86_64 || ALSO_IN_CI.contains(&it.name)),
        _ => it.name == name,
    };
    let found: Vec<_> = SERIES.iter().filter(is_meant).collect();
    if found.is_empty() {
        let known: Vec<_> = SERIES.iter().map(|it| it.name).collect();
        bail!("no kernel is called {name}: choose {ALL}, {CI} or from {}", known.join(", "));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_the_supported_ones() {
        let names = |name| {
            let found = find(name).expect("kernels");
            found.into_iter().map(|it| it.name).collect::<Vec<_>>()
        };
        assert_eq!(
            names("all"),
            ["5.10", "6.1", "6.12", "6.18", "7.3", "5.10/arm64", "6.1/arm64", "6.12/arm64", "6.18/arm64", "7.3/arm64"]
        );
        assert_eq!(names("ci"), ["5.10", "6.1", "6.12", "6.18", "7.3", "5.10/arm64", "6.12/arm64"]);
        assert_eq!(names("6.16"), ["6.16"]);
        assert_eq!(names("6.12/arm64"), ["6.12/arm64"]);
        assert!(find("6.2").is_err());
    }
}
