//! `ci`: everything that must hold before a change lands.

use std::{process::ExitCode, time::Instant};

use anyhow::{Context as _, Result};

use crate::{
    arch::Arch,
    bench::count,
    build::{FEATURES, host_cargo},
    cargo, deny, dist, ebpf, fuzz, process,
    test::{self, Counts},
    vm,
    workspace::Workspace,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the tests on this kernel, for a caller that has run them
    #[arg(long)]
    skip_host_tests: bool,
    #[command(flatten)]
    options: vm::Options,
}

pub(crate) fn main(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    step("formatting", || {
        process::run(cargo::command("fmt").args(["--all", "--check"]).current_dir(&workspace.root))
            .context("`cargo fmt --all` puts it right")
    })?;
    step("licences, sources and advisories of dependencies", || deny::check(workspace))?;
    let object = step("building the eBPF programs", || ebpf::build(workspace))?;
    let host = |subcommand| host_cargo(workspace, subcommand, &object);
    step("lints", || {
        process::run(host("clippy").args(["--workspace", "--all-targets"]).args(FEATURES).args(["--", "-Dwarnings"]))
    })?;
    step("lints of the eBPF programs", || {
        Arch::ALL.into_iter().try_for_each(|arch| process::run(&mut ebpf::clippy(workspace, arch)))
    })?;
    step("documentation", || {
        process::run(
            host("doc")
                .args(["--workspace", "--no-deps", "--document-private-items"])
                .args(FEATURES)
                .env("RUSTDOCFLAGS", "-Dwarnings"),
        )
    })?;
    let mut counts = Counts::default();
    if !args.skip_host_tests {
        counts += step("tests on this kernel", || test::on_this_kernel(workspace, &[], &[]))?;
    }
    step("packages and image, as installed", || dist::check(workspace))?;
    step("fuzzing", || fuzz::all(workspace))?;
    step("instructions of the loads", || count::check(workspace))?;
    counts += step("tests on other kernels", || {
        vm::test(workspace, &[vm::CI.to_owned()], &vm::External::default(), &args.options, &[])
    })?;
    Ok(counts.conclude())
}

/// Runs one step, says so before and tells the time that it took.
fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {name}");
    let start = Instant::now();
    let result = work().with_context(|| format!("{name} failed"))?;
    println!("== {name}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(result)
}
