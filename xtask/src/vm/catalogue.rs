//! The kernels that the tracer is tested on: Debian's, small ones made for virtual machines.

use anyhow::{Result, bail};

/// A kernel series, and the Debian suite that its newest build is taken from.
///
/// A suite is named and no version, because an archive drops a version when the next one comes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) suite: &'static str,
    pub(crate) archive: Archive,
    /// Whether `all` means it too. The others fill gaps: they help to find where a change began.
    pub(crate) is_supported: bool,
}

/// Debian keeps security updates in an archive of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Archive {
    Main,
    Security,
}

pub(crate) const SERIES: [Series; 6] = [
    series("5.10", "bullseye-security", Archive::Security, true),
    series("6.1", "bookworm-security", Archive::Security, true),
    series("6.12", "trixie-security", Archive::Security, true),
    series("6.16", "trixie-backports", Archive::Main, false),
    series("6.18", "trixie-backports", Archive::Main, true),
    series("7.3", "trixie-backports", Archive::Main, true),
];

/// Means every supported series.
pub(crate) const ALL: &str = "all";

const fn series(name: &'static str, suite: &'static str, archive: Archive, is_supported: bool) -> Series {
    Series { name, suite, archive, is_supported }
}

/// The series of that name, or all that are supported.
pub(crate) fn find(name: &str) -> Result<Vec<&'static Series>> {
    let found: Vec<_> = SERIES.iter().filter(|it| it.name == name || (name == ALL && it.is_supported)).collect();
    if found.is_empty() {
        let known: Vec<_> = SERIES.iter().map(|it| it.name).collect();
        bail!("no kernel is called {name}: choose {ALL} or from {}", known.join(", "));
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
        assert_eq!(names("all"), ["5.10", "6.1", "6.12", "6.18", "7.3"]);
        assert_eq!(names("6.16"), ["6.16"]);
        assert!(find("6.2").is_err());
    }
}
