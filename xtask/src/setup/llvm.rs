//! The LLVM inside a compiler or linker: bitcode of a newer one is unreadable to an older one.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process;

/// The first two numbers of a version, of whatever: those that say what works with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl Version {
    /// Reads `22.1.8`, `1.96.0+dfsg1-1`, `22.1-rust-1.95.0-stable` and the like.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        Some(Self { major: numbers.next()?.ok()?, minor: numbers.next().and_then(Result::ok).unwrap_or(0) })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// An LLVM that a program loads as a shared library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Library {
    /// The name that the loader looks for; distributions and rustup name theirs apart.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) version: Version,
}

/// The LLVM that a program loads; none if it is linked in, or the program does not start.
pub(crate) fn loaded_by(program: &Path) -> Option<Library> {
    let listing = process::capture(Command::new("ldd").arg(program)).ok()?;
    listing.lines().find_map(parse_ldd_line)
}

/// `libLLVM.so.22.1 => /usr/lib/libLLVM.so.22.1 (0x00007f7d97400000)`
fn parse_ldd_line(line: &str) -> Option<Library> {
    let (name, target) = line.trim_start().split_once(" => ")?;
    let version = name.strip_prefix("libLLVM.so.").or_else(|| name.strip_prefix("libLLVM-"))?;
    let (path, _address) = target.rsplit_once(" (")?;
    Some(Library {
        name: name.to_owned(),
        path: Path::new(OsStr::new(path)).to_owned(),
        version: Version::parse(version)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_spelling() {
        let parsed = |text| Version::parse(text).map(|v| (v.major, v.minor));
        assert_eq!(parsed("22.1.8"), Some((22, 1)));
        assert_eq!(parsed("1.96.0+dfsg1-1~deb12u2"), Some((1, 96)));
        assert_eq!(parsed("22.1-rust-1.95.0-stable"), Some((22, 1)));
        assert_eq!(parsed("17.so.1"), Some((17, 0)));
        assert_eq!(parsed("(none)"), None);
    }

    #[test]
    fn llvm_is_told_from_other_libraries() {
        let line = "\tlibLLVM.so.22.1-rust-1.95.0-stable => /t/bin/../lib/libLLVM.so.22.1-rust-1.95.0-stable (0x00007f6b45a00000)";
        let library = parse_ldd_line(line).expect("a library");
        assert_eq!(library.name, "libLLVM.so.22.1-rust-1.95.0-stable");
        assert_eq!(library.version.to_string(), "22.1");
        assert!(library.path.starts_with("/t/bin"));
        for other in [
            "\tlinux-vdso.so.1 (0x00007f6b58444000)",
            "\tlibc.so.6 => /lib/libc.so.6 (0x0)",
            "\tlibLLVM.so.22.1 => not found",
        ] {
            assert_eq!(parse_ldd_line(other), None, "{other}");
        }
    }
}
