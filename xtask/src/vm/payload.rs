//! What the guest runs: static builds, because it has no libraries.

use std::{fs::File, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use super::{
    guest,
    initramfs::Initramfs,
    kernel::Kernel,
    modules,
    protocol::{self, Plan},
    qemu,
};
use crate::{
    build::host_cargo,
    cargo::{self, Executable},
    ebpf,
    workspace::Workspace,
};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// For programs that look up who they are.
const PASSWD: &str = "root:x:0:0::/:\nnobody:x:65534:65534::/:\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

/// The programs for a guest, the same for each kernel.
pub(crate) struct Payload {
    init: PathBuf,
    tracer: PathBuf,
    tests: Vec<Executable>,
}

impl Payload {
    /// Builds the tracer alone.
    pub(crate) fn of_tracer(workspace: &Workspace) -> Result<Self> {
        Self::build(workspace, |object| {
            let mut command = static_cargo(workspace, "build", object);
            command.args(["--package", "tracer", "--bin", "tracer"]);
            command
        })
    }

    /// Builds the tracer and its live tests.
    pub(crate) fn of_tests(workspace: &Workspace) -> Result<Self> {
        Self::build(workspace, |object| {
            let mut command = static_cargo(workspace, "test", object);
            command.args(["--no-run", "--package", "tracer", "--test", "live*"]);
            command
        })
    }

    fn build(workspace: &Workspace, tracer: impl FnOnce(&std::path::Path) -> Command) -> Result<Self> {
        if !cfg!(target_arch = "x86_64") {
            bail!("the kernels are for x86_64, and so must this machine be to build for them");
        }
        let object = ebpf::build(workspace)?;
        let mut init = static_cargo(workspace, "build", &object);
        let init = cargo::executables(init.args(["--package", "xtask"]))?;
        let (tests, programs) = cargo::executables(&mut tracer(&object))?.into_iter().partition(|it| it.is_test);
        Ok(Self { init: path_of(init, "xtask")?, tracer: path_of(programs, "tracer")?, tests })
    }

    /// The commands that run the tests.
    pub(crate) fn test_commands(&self, args: &[String]) -> Vec<Vec<String>> {
        let threads = format!("--test-threads={}", qemu::PROCESSORS);
        let command = |test: &Executable| {
            let fixed = [&test.name, "--include-ignored", &threads].map(String::from);
            fixed.into_iter().chain(args.iter().cloned()).collect()
        };
        self.tests.iter().map(command).collect()
    }

    /// Packs everything that a kernel needs to run the commands.
    pub(crate) fn pack(&self, kernel: &Kernel, commands: Vec<Vec<String>>) -> Result<File> {
        let mut archive = Initramfs::new()?;
        for name in guest::DIRECTORIES {
            archive.directory(name)?;
        }
        archive.program("init", &self.init)?;
        archive.program("bin/tracer", &self.tracer)?;
        for test in &self.tests {
            archive.program(&format!("bin/{}", test.name), &test.path)?;
        }
        archive.file("etc/passwd", PASSWD.as_bytes())?;
        archive.file("etc/group", GROUP.as_bytes())?;
        let modules = match &kernel.modules {
            Some(directory) => {
                modules::collect(directory).with_context(|| format!("Linux {} cannot be used", kernel.name))?
            }
            None => Vec::new(),
        };
        for module in &modules {
            archive.file(&protocol::module_path(&module.name), &module.image)?;
        }
        let plan = Plan { modules: modules.into_iter().map(|it| it.name).collect(), commands };
        archive.file(protocol::PLAN, plan.to_json().as_bytes())?;
        archive.finish()
    }
}

fn path_of(executables: Vec<Executable>, name: &str) -> Result<PathBuf> {
    let found = executables.into_iter().find(|it| it.name == name);
    Ok(found.with_context(|| format!("cargo built no {name}"))?.path)
}

/// A cargo call for the guest. The target is named, though it is the host's, so that build scripts
/// and procedural macros stay dynamic; the directory is its own, so that nothing else is rebuilt.
fn static_cargo(workspace: &Workspace, subcommand: &str, object: &std::path::Path) -> Command {
    let mut command = host_cargo(workspace, subcommand, object);
    command
        .args(["--target", TARGET])
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        // Small, because it goes into memory twice; a little optimized, because it is emulated.
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_DEV_STRIP", "debuginfo")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "2");
    command
}
