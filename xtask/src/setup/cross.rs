//! What it takes to build for another processor: a compiler that has Rust's standard library for it, and a linker with
//! its C library.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{apt, arch::Arch, process, store, workspace::Workspace};

/// Debian's compilers and their standard libraries, as in [`super::compiler`].
const PACKAGES: [[&str; 2]; 2] = [["rustc-web", "libstd-rust-web-dev"], ["rustc", "libstd-rust-dev"]];

/// Where Debian's compiler is.
const DEBIANS: &str = "/usr/bin/rustc";

/// What builds for another processor.
pub(crate) struct Cross {
    pub(crate) rustc: PathBuf,
    /// Where the standard library is, if it is not the compiler's own.
    pub(crate) sysroot: Option<PathBuf>,
    pub(crate) linker: PathBuf,
}

/// Finds it all; installs what is missing.
pub(crate) fn find_or_install(workspace: &Workspace, arch: Arch) -> Result<Cross> {
    let linker = match find_linker(arch) {
        Some(linker) => linker,
        None => install_linker(arch)?,
    };
    let (rustc, sysroot) = match find_library(workspace, arch) {
        Some(found) => found,
        None => install_library(workspace, arch)?,
    };
    Ok(Cross { rustc, sysroot, linker })
}

/// Whether [`find_or_install`] would install nothing.
pub(super) fn is_there(workspace: &Workspace, arch: Arch) -> bool {
    find_linker(arch).is_some() && find_library(workspace, arch).is_some()
}

fn find_linker(arch: Arch) -> Option<PathBuf> {
    let linker = which::which(arch.cross_compiler().0).ok()?;
    // It knows where its C library would be, though that is another package.
    let said = process::capture(Command::new(&linker).arg("-print-file-name=libc.a")).ok()?;
    Path::new(said.trim_end()).is_absolute().then_some(linker)
}

fn install_linker(arch: Arch) -> Result<PathBuf> {
    let (name, packages) = arch.cross_compiler();
    if !apt::is_here() {
        bail!("{name} with a static C library is not on PATH: install it with your package manager");
    }
    apt::install(&packages)?;
    find_linker(arch).with_context(|| format!("the packages {} have no {name}", packages.join(", ")))
}

/// A compiler, and the directory that has the library if that is not the compiler's own.
fn find_library(workspace: &Workspace, arch: Arch) -> Option<(PathBuf, Option<PathBuf>)> {
    let rustup = |rustc: &str| has_library(OsStr::new(rustc), None, arch).then(|| (rustc.into(), None));
    ["rustc", DEBIANS].into_iter().find_map(rustup).or_else(|| {
        let home = workspace.cache.join("tools").join(unpacked(&debians()?, arch));
        let sysroot = home.join("usr");
        has_library(DEBIANS.as_ref(), Some(&sysroot), arch).then(|| (DEBIANS.into(), Some(sysroot)))
    })
}

/// Takes Debian's library if the compiler is Debian's, else rustup's.
fn install_library(workspace: &Workspace, arch: Arch) -> Result<(PathBuf, Option<PathBuf>)> {
    let mut refusals = Vec::new();
    if let Some(library) = debians() {
        match store::provide(&workspace.cache.join("tools"), &unpacked(&library, arch), false, |home| {
            unpack(&library, arch, home)
        }) {
            Ok(home) => return Ok((DEBIANS.into(), Some(home.join("usr")))),
            Err(error) => refusals.push(format!("{error:#}")),
        }
    }
    if which::which("rustup").is_ok() {
        eprintln!("adding the standard library by rustup: {}", arch.target());
        match process::capture(Command::new("rustup").args(["target", "add", arch.target()])) {
            Ok(_) => {
                return find_library(workspace, arch).context("rustup has added a library that rustc does not find");
            }
            Err(error) => refusals.push(format!("{error:#}")),
        }
    }
    bail!("there is no standard library for {}: `rustup target add` has it\n{}", arch.target(), refusals.join("\n"))
}

/// A package of a standard library, in exactly the compiler's version: it reads no other.
struct Library {
    package: &'static str,
    version: String,
}

/// The one that goes with Debian's compiler.
fn debians() -> Option<Library> {
    PACKAGES.into_iter().find_map(|[compiler, package]| Some(Library { package, version: apt::installed(compiler)? }))
}

/// What the unpacked package is called in the cache.
fn unpacked(library: &Library, arch: Arch) -> String {
    format!("{}-{}-{}", library.package, arch.debian(), library.version)
}

fn unpack(library: &Library, arch: Arch, home: &Path) -> Result<()> {
    let package = format!("{}={}", library.package, library.version);
    eprintln!("fetching the package {package} for {}", arch.debian());
    let apt = apt::Private::configure(&home.join("apt"), arch, None)?;
    apt.capture("apt-get", &["update", "--quiet"])?;
    apt.unpack(&[&package], home)
}

fn has_library(rustc: &OsStr, sysroot: Option<&Path>, arch: Arch) -> bool {
    let mut command = Command::new(rustc);
    command.args(["--print=target-libdir", "--target", arch.target()]);
    if let Some(sysroot) = sysroot {
        command.arg("--sysroot").arg(sysroot);
    }
    let Ok(libdir) = process::capture(&mut command) else { return false };
    let Ok(entries) = fs::read_dir(libdir.trim_end()) else { return false };
    entries.flatten().any(|entry| entry.file_name().as_encoded_bytes().starts_with(b"libstd-"))
}
