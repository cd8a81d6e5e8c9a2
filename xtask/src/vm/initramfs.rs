//! The guest's only file system: an archive that the kernel unpacks into memory.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use cpio::newc;
use nix::sys::memfd::{MFdFlags, memfd_create};

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

/// An archive in the making. It is not compressed: memory is cheap, and the emulated machine would
/// need a second to unpack it.
pub(crate) struct Initramfs {
    /// Not on disk, so that nothing is left behind however this program ends.
    file: File,
    entries: u32,
}

impl Initramfs {
    pub(crate) fn new() -> Result<Self> {
        // Without CLOEXEC, because QEMU opens it by the descriptor that it inherits.
        let file = memfd_create(c"initramfs", MFdFlags::empty()).context("cannot make a file in memory")?;
        Ok(Self { file: file.into(), entries: 0 })
    }

    pub(crate) fn directory(&mut self, name: &str) -> Result<()> {
        self.entry(name, DIRECTORY, &[])
    }

    pub(crate) fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.entry(name, FILE, content)
    }

    /// Copies a program or a library.
    pub(crate) fn program(&mut self, name: &str, path: &Path) -> Result<()> {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        self.entry(name, EXECUTABLE, &content)
    }

    /// Closes the archive. It lives as long as the file is open.
    pub(crate) fn finish(mut self) -> Result<File> {
        newc::trailer(&mut self.file).context("cannot write the initramfs")?;
        Ok(self.file)
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        let failed = || format!("cannot write {name} into the initramfs");
        // Entries of the same inode would be links to one file.
        self.entries += 1;
        let size = u32::try_from(content.len()).with_context(failed)?;
        let mut writer = newc::Builder::new(name).mode(mode).ino(self.entries).nlink(1).write(&mut self.file, size);
        writer.write_all(content).with_context(failed)?;
        writer.finish().with_context(failed)?;
        Ok(())
    }
}
