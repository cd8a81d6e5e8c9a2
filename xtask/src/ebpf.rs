//! The eBPF object: a nested cargo call with the compiler and the linker that setup found.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    arch::Arch,
    cargo,
    setup::{self, Core, TARGET, Toolchain},
    workspace::Workspace,
};

/// The crate that may use unstable features on a stable compiler: inline assembly for BPF.
const UNSTABLE: &str = "aya_ebpf";

/// Where tracer's build script looks for the object.
pub(crate) const OBJECT_VARIABLE: &str = "TRACER_EBPF_OBJECT";

/// Builds the eBPF programs for this computer, with whatever that takes, and returns the object's path.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    build_for(workspace, Arch::host()?)
}

/// Builds them for a processor: they read its registers, so that those of another one load and are wrong.
pub(crate) fn build_for(workspace: &Workspace, arch: Arch) -> Result<PathBuf> {
    let toolchain = setup::find_or_install(workspace)?;
    let executables =
        cargo::executables(&mut command(workspace, &toolchain, arch)).with_context(|| advice(&toolchain))?;
    let object = executables.into_iter().find(|it| it.name == "tracer-ebpf");
    Ok(object.context("cargo built no tracer-ebpf")?.path)
}

fn command(workspace: &Workspace, toolchain: &Toolchain, arch: Arch) -> Command {
    let compiler = &toolchain.compiler;
    let (mut command, unstable) = match compiler.core {
        Core::Prebuilt => (cargo::command("build"), UNSTABLE),
        Core::Source => {
            // The source's layout is known to the cargo that came with it.
            let mut command = cargo::command_beside(&compiler.rustc, "build");
            command.arg("-Zbuild-std=core");
            (command, "1")
        }
    };
    let flags = [
        // BTF, with the line numbers that the verifier quotes.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("-Clinker={}", toolchain.linker.path.display()),
        processor(arch),
    ];
    ebpf_package(&mut command, workspace, arch)
        .args(["--release", "--target", TARGET])
        .env("RUSTC", &compiler.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("RUSTC_BOOTSTRAP", unstable);
    command
}

/// What build scripts find in `CARGO_CFG_BPF_TARGET_ARCH`.
fn processor(arch: Arch) -> String {
    format!("--cfg=bpf_target_arch=\"{}\"", arch.kernel())
}

/// Clippy for the eBPF programs of a processor. It runs on the host's compiler, as if they were built for the
/// host: Debian's has no clippy.
pub(crate) fn clippy(workspace: &Workspace, arch: Arch) -> Command {
    let mut command = cargo::command("clippy");
    ebpf_package(&mut command, workspace, arch)
        .env("RUSTC_BOOTSTRAP", UNSTABLE)
        .env("CARGO_ENCODED_RUSTFLAGS", processor(arch))
        // The first, because the programs have no unwinder.
        .args(["--", "-Cpanic=abort", "-Dwarnings"]);
    command
}

fn ebpf_package<'a>(command: &'a mut Command, workspace: &Workspace, arch: Arch) -> &'a mut Command {
    command
        .args(["--package", "tracer-ebpf", "--bin", "tracer-ebpf", "--features", "ebpf"])
        // A directory of its own: build scripts depend on RUSTC_BOOTSTRAP, and would be run anew
        // by each call for the host after one for the programs, and on the processor.
        .arg("--target-dir")
        .arg(workspace.target.join(format!("ebpf-{}", arch.kernel())))
        .current_dir(&workspace.root)
}

fn advice(toolchain: &Toolchain) -> String {
    format!(
        "the eBPF programs did not build with {} and {}: if it says `Invalid record`, the \
         linker's LLVM is too old, and TRACER_BPF_LINKER can name another",
        toolchain.compiler, toolchain.linker
    )
}
