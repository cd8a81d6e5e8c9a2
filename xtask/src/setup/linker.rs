//! bpf-linker: taken from PATH if its LLVM can read the compiler's bitcode, else built against
//! the very LLVM that the compiler loads. That fits by construction and needs no LLVM packages.

use std::{
    env,
    ffi::OsString,
    fmt, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{
    compiler::Compiler,
    llvm::{self, Version},
    missing::{Missing, SETUP},
};
use crate::{cargo, process, workspace::Workspace};

const OVERRIDE: &str = "TRACER_BPF_LINKER";

/// The release that is installed. Those before it may carry an LLVM older than the compiler's.
const RELEASE: &str = "0.13.0";
/// The LLVMs that this release can be built against.
const LLVMS: std::ops::RangeInclusive<u32> = 21..=23;

/// A linker that runs.
pub(crate) struct Linker {
    pub(crate) path: PathBuf,
    release: String,
}

impl fmt::Display for Linker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.release)
    }
}

/// The linker that an override names, that an earlier setup built, or that PATH has.
pub(crate) fn find(workspace: &Workspace, compiler: &Compiler) -> Result<Option<Linker>> {
    if let Some(path) = env::var_os(OVERRIDE) {
        let linker = probe(path.as_ref()).with_context(|| {
            format!("{OVERRIDE}={}: `--version` fails: name another bpf-linker or unset it", path.display())
        })?;
        return Ok(Some(linker));
    }
    let built = home(workspace, compiler).and_then(|home| probe(&home.join("bin/bpf-linker")));
    Ok(built.or_else(|| {
        let path = which::which("bpf-linker").ok()?;
        probe(&path).filter(|linker| linker.reads(compiler.llvm))
    }))
}

/// Builds the linker into the cache.
pub(crate) fn install(workspace: &Workspace, compiler: &Compiler) -> Result<Linker> {
    let (Some(library), Some(home)) = (&compiler.llvm_library, home(workspace, compiler)) else {
        bail!(
            "no bpf-linker fits {}: install one that reads bitcode of LLVM {} from \
             https://github.com/aya-rs/bpf-linker/releases",
            compiler.rustc.display(),
            compiler.llvm
        );
    };
    let Some(llvm_directory) = library.path.parent() else {
        bail!("{} is in no directory", library.path.display());
    };
    eprintln!("building bpf-linker {RELEASE} against {} (about a minute)", library.path.display());

    // Its build script wants a prefix with lib/libLLVM.so, as development packages have.
    let prefix = home.join("llvm");
    fs::create_dir_all(prefix.join("lib")).with_context(|| format!("cannot create {}", prefix.display()))?;
    let link = prefix.join("lib/libLLVM.so");
    replace_symlink(&library.path, &link).with_context(|| format!("cannot create {}", link.display()))?;

    let mut command = cargo::command("install");
    command
        .args(["bpf-linker", "--version", RELEASE, "--locked", "--force", "--debug"])
        .args(["--no-default-features", "--features"])
        .arg(format!("llvm-{}", library.version.major))
        .arg("--root")
        .arg(&home)
        .env_remove("CARGO_TARGET_DIR")
        // Else cargo asks to put it there. Nobody is to call it by its name.
        .env("PATH", path_with(&home.join("bin"))?)
        .env("LLVM_PREFIX", &prefix)
        // The work is done in LLVM: an optimized build takes twice as long and links no faster.
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_ENCODED_RUSTFLAGS", format!("-Clink-arg=-Wl,-rpath,{}", llvm_directory.display()));
    process::run(&mut command)?;
    let path = home.join("bin/bpf-linker");
    probe(&path).with_context(|| format!("{} was built but does not run", path.display()))
}

/// What to tell a user who has no linker yet.
pub(super) fn missing() -> Missing {
    Missing { what: "bpf-linker", remedy: SETUP.to_owned() }
}

/// Where a linker for this compiler lives; none if it cannot be built.
///
/// Rustup gives the LLVM of each toolchain a name of its own.
fn home(workspace: &Workspace, compiler: &Compiler) -> Option<PathBuf> {
    let library = compiler.llvm_library.as_ref()?;
    LLVMS.contains(&library.version.major).then(|| {
        let tool = format!("bpf-linker-{RELEASE}-{}", library.name);
        workspace.cache.join("tools").join(tool)
    })
}

/// None if it does not start: it is not there, or its LLVM has gone.
fn probe(path: &Path) -> Option<Linker> {
    let said = process::capture(Command::new(path).arg("--version")).ok()?;
    let release = said.trim().strip_prefix("bpf-linker ")?;
    Some(Linker { path: path.to_owned(), release: release.to_owned() })
}

impl Linker {
    /// Whether this linker's LLVM is as new as `llvm`.
    fn reads(&self, llvm: Version) -> bool {
        match llvm::loaded_by(&self.path) {
            Some(library) => library.version >= llvm,
            // A release that carries its LLVM does not tell which.
            None => Version::parse(&self.release) >= Version::parse(RELEASE),
        }
    }
}

/// `PATH`, with this directory at its end.
fn path_with(directory: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain([directory.to_owned()]);
    env::join_paths(directories).context("PATH cannot be extended")
}

fn replace_symlink(target: &Path, link: &Path) -> io::Result<()> {
    match fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => symlink(target, link),
    }
}
