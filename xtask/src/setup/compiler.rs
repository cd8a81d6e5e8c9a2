//! A rustc for the BPF target: one with its `core` at hand, or with the source to build it.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    llvm::{self, Version},
    missing::Missing,
};
use crate::{apt, process};

/// The target of the eBPF programs.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

const OVERRIDE: &str = "TRACER_BPF_RUSTC";

/// Debian's pairs of a compiler and its `core` for BPF: the first is for releases up to 13, whose
/// own `rustc` is too old, the second for those after.
const PACKAGES: [[&str; 2]; 2] = [["rustc-web", "libstd-rust-web-dev-bpf"], ["rustc", "libstd-rust-dev-bpf"]];

/// A compiler for the eBPF programs.
pub(crate) struct Compiler {
    pub(crate) rustc: PathBuf,
    pub(crate) core: Core,
    pub(crate) llvm: Version,
    /// Absent where LLVM is linked into the compiler.
    pub(crate) llvm_library: Option<llvm::Library>,
    release: String,
}

/// Where `core` for the BPF target comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    /// It lies in the compiler's sysroot.
    Prebuilt,
    /// Cargo builds it from rust-src (`-Z build-std`).
    Source,
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = match self.core {
            Core::Prebuilt => "in its sysroot",
            Core::Source => "built from rust-src",
        };
        let (rustc, release, llvm) = (self.rustc.display(), &self.release, self.llvm);
        write!(f, "{rustc} {release}, LLVM {llvm}, core {core}")
    }
}

/// Looks in the order that the help of `setup` gives.
pub(crate) fn find() -> Result<Option<Compiler>> {
    if let Some(rustc) = env::var_os(OVERRIDE) {
        let compiler = probe(&rustc).with_context(|| {
            format!(
                "{OVERRIDE}={}: this compiler has neither core for {} nor rust-src, or is older \
                 than {}: name another or unset it",
                rustc.display(),
                TARGET,
                env!("CARGO_PKG_RUST_VERSION"),
            )
        })?;
        return Ok(Some(compiler));
    }
    let mut from_source = None;
    for rustc in [OsStr::new("rustc"), OsStr::new("/usr/bin/rustc")] {
        match probe(rustc) {
            Some(compiler) if compiler.core == Core::Prebuilt => return Ok(Some(compiler)),
            Some(compiler) => from_source = from_source.or(Some(compiler)),
            None => {}
        }
    }
    Ok(from_source.or_else(|| probe(&nightly()?)))
}

/// Installs a compiler, or what the present one lacks, where that needs no password.
pub(crate) fn install() -> Result<Option<Compiler>> {
    if apt::can_install() {
        let mut packages = installable()?;
        if packages.is_none() {
            apt::update()?;
            packages = installable()?;
        }
        // Refused, for one, where another rustc package would have to go: rustup may still do.
        match packages.map(|packages| apt::install(&packages)) {
            Some(Ok(())) => return find(),
            Some(Err(error)) => eprintln!("{error:#}"),
            None => {}
        }
    }
    if which::which("rustup").is_ok() {
        eprintln!("adding the standard library's source by rustup: rust-src");
        if let Err(error) = process::capture(rustup().args(["component", "add", "rust-src"])) {
            eprintln!("{error:#}");
        }
    }
    find()
}

/// What to tell a user whose compiler could not be installed.
pub(super) fn missing() -> Missing {
    let remedy = if apt::is_here()
        && let Ok(Some(packages)) = installable()
    {
        apt::install_line(&packages)
    } else if which::which("rustup").is_ok() {
        "rustup component add rust-src".to_owned()
    } else {
        "install rustup (https://rustup.rs), then: rustup component add rust-src".to_owned()
    };
    Missing { what: "a compiler with core for BPF", remedy }
}

/// The first pair of packages that apt has, new enough for this workspace.
fn installable() -> Result<Option<[&'static str; 2]>> {
    let oldest = Version::parse(env!("CARGO_PKG_RUST_VERSION"));
    let versions = apt::candidates(PACKAGES.as_flattened())?;
    let fits = |package: &&str| versions.get(*package).is_some_and(|version| Version::parse(version) >= oldest);
    Ok(PACKAGES.into_iter().find(|pair| pair.iter().all(fits)))
}

/// Whether a compiler can build for BPF, and how.
fn probe(rustc: &OsStr) -> Option<Compiler> {
    let paths = process::capture(
        Command::new(rustc).args(["--print=sysroot", "--print=target-libdir"]).args(["--target", TARGET]),
    )
    .ok()?;
    let mut paths = paths.lines().map(Path::new);
    let (sysroot, libdir) = (paths.next()?, paths.next()?);
    let core = if has_core(libdir) {
        Core::Prebuilt
    } else if sysroot.join("lib/rustlib/src/rust/library/core").is_dir() {
        Core::Source
    } else {
        return None;
    };
    let about = process::capture(Command::new(rustc).arg("-vV")).ok()?;
    let field = |name| about.lines().find_map(|line| line.strip_prefix(name));
    let release = field("release: ")?;
    if Version::parse(release) < Version::parse(env!("CARGO_PKG_RUST_VERSION")) {
        return None;
    }
    // The real binary, where the one on PATH is rustup's proxy.
    let real = sysroot.join("bin/rustc");
    Some(Compiler {
        core,
        llvm: Version::parse(field("LLVM version: ")?)?,
        llvm_library: llvm::loaded_by(&real),
        release: release.to_owned(),
        rustc: real,
    })
}

fn has_core(libdir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(libdir) else {
        return false;
    };
    entries.flatten().any(|entry| entry.file_name().as_encoded_bytes().starts_with(b"libcore-"))
}

fn nightly() -> Option<OsString> {
    which::which("rustup").ok()?;
    let path = process::capture(rustup().args(["which", "--toolchain", "nightly", "rustc"])).ok()?;
    Some(path.trim_end().into())
}

/// Asked about a toolchain, rustup would install it.
fn rustup() -> Command {
    let mut command = Command::new("rustup");
    command.env("RUSTUP_AUTO_INSTALL", "0");
    command
}
