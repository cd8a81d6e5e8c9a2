//! What the guest runs: static builds, because it has no libraries; or programs as they are, with theirs.

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{
    guest,
    initramfs::Initramfs,
    kernel::Kernel,
    libraries, modules,
    protocol::{self, Plan},
    qemu,
};
use crate::{arch::Arch, cargo, ebpf, target::Target, workspace::Workspace};

/// For programs that look up who they are.
const PASSWD: &str = "root:x:0:0::/:\nnobody:x:65534:65534::/:\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

/// The programs for a guest, the same for each kernel.
pub(crate) struct Payload {
    init: PathBuf,
    /// What goes into `/bin`, by name.
    programs: Vec<(String, PathBuf)>,
    /// Which of the programs are tests.
    tests: Vec<String>,
    /// What the programs are linked with, at the places where the system has it.
    libraries: BTreeSet<PathBuf>,
}

impl Payload {
    /// Builds the tracer alone.
    pub(crate) fn of_tracer(workspace: &Workspace, arch: Arch) -> Result<Self> {
        Self::build(workspace, arch, |target, object| {
            let mut command = static_cargo(workspace, target, "build", object);
            command.args(["--package", "tracer", "--bin", "tracer"]);
            command
        })
    }

    /// Builds the tracer and its live tests.
    pub(crate) fn of_tests(workspace: &Workspace, arch: Arch) -> Result<Self> {
        Self::build(workspace, arch, |target, object| {
            let mut command = static_cargo(workspace, target, "test", object);
            command.args(["--no-run", "--package", "tracer", "--test", "live*"]);
            command
        })
    }

    /// Takes programs as they are, with the libraries that they need, and builds nothing but init.
    pub(crate) fn of_programs(workspace: &Workspace, programs: Vec<(String, PathBuf)>) -> Result<Self> {
        let arch = Arch::host()?;
        let init = init(workspace, &Target::provide(workspace, arch)?, &ebpf::build_for(workspace, arch)?)?;
        let mut libraries = BTreeSet::new();
        for (_, path) in &programs {
            libraries.extend(libraries::of(path)?);
        }
        Ok(Self { init, programs, tests: Vec::new(), libraries })
    }

    fn build(workspace: &Workspace, arch: Arch, tracer: impl FnOnce(&Target, &Path) -> Command) -> Result<Self> {
        let target = Target::provide(workspace, arch)?;
        let object = ebpf::build_for(workspace, arch)?;
        let init = init(workspace, &target, &object)?;
        let built = cargo::executables(&mut tracer(&target, &object))?;
        let tests = built.iter().filter(|it| it.is_test).map(|it| it.name.clone()).collect();
        let programs: Vec<_> = built.into_iter().map(|it| (it.name, it.path)).collect();
        if !programs.iter().any(|(name, _)| name == "tracer") {
            bail!("cargo built no tracer");
        }
        Ok(Self { init, programs, tests, libraries: BTreeSet::new() })
    }

    /// The commands that run the tests, but for those whose names contain one of `left_out`.
    pub(crate) fn test_commands(&self, args: &[String], left_out: &[&str]) -> Vec<Vec<String>> {
        let threads = format!("--test-threads={}", qemu::PROCESSORS);
        let skips = left_out.iter().flat_map(|name| ["--skip", name]);
        let fixed: Vec<String> = ["--include-ignored", &threads].into_iter().chain(skips).map(String::from).collect();
        self.tests.iter().map(|test| [std::slice::from_ref(test), &fixed, args].concat()).collect()
    }

    /// Packs everything that a kernel needs to run the commands.
    pub(crate) fn pack(&self, kernel: &Kernel, commands: Vec<Vec<String>>) -> Result<File> {
        let mut archive = Initramfs::new()?;
        for name in guest::DIRECTORIES {
            archive.directory(name)?;
        }
        archive.program("init", &self.init)?;
        for (name, path) in &self.programs {
            archive.program(&format!("bin/{name}"), path)?;
        }
        self.pack_libraries(&mut archive)?;
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

    fn pack_libraries(&self, archive: &mut Initramfs) -> Result<()> {
        let places = self.libraries.iter().filter_map(|path| path.strip_prefix("/").ok());
        // Outer ones sort before inner ones.
        let directories: BTreeSet<&Path> = places.clone().flat_map(|place| place.ancestors().skip(1)).collect();
        for directory in directories.into_iter().filter(|it| !it.as_os_str().is_empty()) {
            archive.directory(&directory.to_string_lossy())?;
        }
        for (place, path) in places.zip(&self.libraries) {
            archive.program(&place.to_string_lossy(), path)?;
        }
        Ok(())
    }
}

/// This program, built for the guest.
fn init(workspace: &Workspace, target: &Target, object: &Path) -> Result<PathBuf> {
    let mut command = static_cargo(workspace, target, "build", object);
    let built = cargo::executables(command.args(["--package", "xtask"]))?;
    let init = built.into_iter().find(|it| it.name == "xtask");
    Ok(init.context("cargo built no xtask")?.path)
}

/// A cargo call for the guest.
fn static_cargo(workspace: &Workspace, target: &Target, subcommand: &str, object: &Path) -> Command {
    let mut command = target.cargo(workspace, &workspace.target, subcommand, object, &[]);
    command
        // Small, because it goes into memory twice; a little optimized, because it is emulated.
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_DEV_STRIP", "debuginfo")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "2");
    command
}
