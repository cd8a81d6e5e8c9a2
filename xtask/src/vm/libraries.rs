//! The shared libraries of a program, for a guest that has none.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::process;

/// The libraries that a program of this system is linked with, and what loads them.
pub(super) fn of(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let listing = process::capture(Command::new("ldd").arg(program).env("LC_ALL", "C"))?;
    Ok(parse(&listing))
}

/// `NAME => PATH (ADDRESS)`, or only `PATH (ADDRESS)` for the loader. What the kernel provides has no path.
fn parse(listing: &str) -> BTreeSet<PathBuf> {
    let paths = listing.lines().filter_map(|line| {
        let (entry, _) = line.trim().rsplit_once(" (")?;
        let path = entry.split_once(" => ").map_or(entry, |(_, path)| path);
        path.starts_with('/').then(|| path.into())
    });
    paths.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_is_one_of_them_and_the_kernels_is_not() {
        let listing = "\tlinux-vdso.so.1 (0x00007f939b419000)\n\
                       \tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f939b375000)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f939b41b000)\n";
        let expected = ["/lib/x86_64-linux-gnu/libz.so.1", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(parse(listing), expected.map(PathBuf::from).into());
        assert!(parse("\tstatically linked\n").is_empty());
    }
}
