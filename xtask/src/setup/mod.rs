//! `setup`: finds or installs the two things that cargo lacks for the eBPF programs, a compiler
//! with `core` for the BPF target and a linker that reads this compiler's bitcode.
//!
//! Nothing is remembered between runs: asking the tools again takes a tenth of a second and
//! cannot be out of date.

mod compiler;
mod cross;
mod linker;
mod llvm;
mod missing;

use std::process::ExitCode;

use anyhow::Result;

use self::missing::{SETUP, lacking};
pub(crate) use self::{
    compiler::{Compiler, Core, TARGET},
    cross::Cross,
    linker::Linker,
};
use crate::{apt, arch::Arch, tools, workspace::Workspace};

const HELP: &str = "\
Environment:
  TRACER_BPF_RUSTC   the compiler for the eBPF programs, instead of a search: one with `core` for
                     bpfel-unknown-none, or with the standard library's source (rust-src)
  TRACER_BPF_LINKER  the bpf-linker to use, instead of a search; its LLVM must not be older than
                     the compiler's

Looks for a compiler with the BPF target on PATH and in /usr/bin, then for one with rust-src
(nightly too), then installs one: by apt where that needs no password, else rust-src by rustup.
bpf-linker is taken from PATH if its LLVM fits, else built into the per-user cache.";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Only report; exit with 1 if something is missing
    #[arg(long)]
    check: bool,
}

/// What builds the eBPF programs.
pub(crate) struct Toolchain {
    pub(crate) compiler: Compiler,
    pub(crate) linker: Linker,
}

pub(crate) fn main(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let toolchain = if args.check { find(workspace)? } else { find_or_install(workspace)? };
    println!("compiler  {}", toolchain.compiler);
    println!("linker    {}", toolchain.linker);
    let host = Arch::host()?;
    for arch in Arch::ALL.into_iter().filter(|arch| *arch != host) {
        report_cross(workspace, arch, args.check);
    }
    match tools::DENY.find(workspace) {
        Some(deny) => println!("for ci    {}", deny.display()),
        // Two minutes that only those spend who need it.
        None => println!("for ci    cargo-deny is not here yet: `cargo xtask ci` builds it into the cache"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what builds for another processor. Only tests and releases for it need that.
fn report_cross(workspace: &Workspace, arch: Arch, check: bool) {
    let name = arch.kernel();
    if check && !cross::is_there(workspace, arch) {
        println!("{name:<9} cannot be built for yet: `{SETUP}` gets what it takes");
        return;
    }
    match cross(workspace, arch) {
        Ok(Cross { rustc, linker, .. }) => println!("{name:<9} {}, {}", rustc.display(), linker.display()),
        Err(error) => println!("{name:<9} CANNOT BE BUILT FOR: {error:#}"),
    }
}

/// What builds for another processor, installed first if need be.
pub(crate) fn cross(workspace: &Workspace, arch: Arch) -> Result<Cross> {
    cross::find_or_install(workspace, arch)
}

/// What builds the eBPF programs, installed first if need be.
pub(crate) fn find_or_install(workspace: &Workspace) -> Result<Toolchain> {
    let Some(compiler) = compiler::find()?.map_or_else(compiler::install, |it| Ok(Some(it)))? else {
        return Err(lacking(&[compiler::missing(), linker::missing()]));
    };
    let linker = match linker::find(workspace, &compiler)? {
        Some(linker) => linker,
        None => linker::install(workspace, &compiler)?,
    };
    Ok(Toolchain { compiler, linker })
}

fn find(workspace: &Workspace) -> Result<Toolchain> {
    let Some(compiler) = compiler::find()? else {
        let mut compiler = compiler::missing();
        if apt::can_install() {
            compiler.remedy = SETUP.to_owned();
        }
        return Err(lacking(&[compiler, linker::missing()]));
    };
    let Some(linker) = linker::find(workspace, &compiler)? else {
        return Err(lacking(&[linker::missing()]));
    };
    Ok(Toolchain { compiler, linker })
}
