//! Builds, runs and tests the tracer: `cargo xtask COMMAND`.
//!
//! Plain cargo cannot build the eBPF programs: they need a compiler that has `core` for the BPF
//! target and a linker that reads this compiler's bitcode. [`setup`] finds or installs the two,
//! [`ebpf`] makes the object with them, and every other command hands that object to cargo
//! through `TRACER_EBPF_OBJECT`, which tracer's build script embeds.
//!
//! Other kernels are tried in virtual machines, whose init is this program too: see [`vm`].

mod apt;
mod arch;
mod bench;
mod build;
mod cargo;
mod ci;
mod deny;
mod dist;
mod ebpf;
mod fuzz;
mod loopback;
mod privilege;
mod process;
mod run;
mod setup;
mod soak;
mod store;
mod target;
mod test;
mod tools;
mod vm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Builds, runs and tests the tracer.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find or install what the eBPF build needs
    Setup(setup::Args),
    /// Build the eBPF programs and the tracer, and print the tracer's path
    Build(build::Args),
    /// Build the tracer and run it as root (the demo, if nothing else is asked for)
    Run(run::Args),
    /// Run all tests as root, or the live ones on other kernels
    Test(test::Args),
    /// Measure what tracing costs, beside other tools that trace the same
    Bench(bench::Args),
    /// Make the load that `bench` measures, as its child
    #[command(hide = true)]
    BenchLoad(bench::load::Args),
    /// Attach programs that do nothing, as a subject of `bench`
    #[command(hide = true)]
    BenchEmpty,
    /// Count what subjects of `bench` cost, in a virtual machine
    #[command(hide = true)]
    BenchCounted(bench::count::guest::Args),
    /// Let the tracer run for an hour while the world changes around it, and see that it stays the same
    Soak(soak::Args),
    /// Look for bytes that make the tracer fail, in all that it reads
    Fuzz(fuzz::Args),
    /// Check formatting, lints and documentation, then run all tests
    Ci(ci::Args),
    /// Make the release: packages, an image, a list of components
    Dist(dist::Args),
    /// Check licences, sources and known vulnerabilities of what we depend on
    Deny,
    /// Run the tracer on other kernels, in virtual machines
    Vm(vm::Args),
}

fn main() -> ExitCode {
    if vm::guest::is_init() {
        vm::guest::main();
    }
    let cli = Cli::parse();
    run_command(cli.command).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The parts of the bench that run in a virtual machine have no checkout to locate.
fn run_command(command: Command) -> Result<ExitCode> {
    let workspace = Workspace::locate;
    match command {
        Command::Setup(args) => setup::main(&workspace()?, &args),
        Command::Build(args) => build::main(&workspace()?, &args),
        Command::Run(args) => run::main(&workspace()?, &args),
        Command::Test(args) => test::main(&workspace()?, &args),
        Command::Bench(args) => bench::main(&workspace()?, &args),
        Command::BenchLoad(args) => bench::load::main(&args),
        Command::BenchEmpty => bench::empty::main(),
        Command::BenchCounted(args) => bench::count::guest::main(&args),
        Command::Soak(args) => soak::main(&workspace()?, &args),
        Command::Fuzz(args) => fuzz::main(&workspace()?, &args),
        Command::Ci(args) => ci::main(&workspace()?, &args),
        Command::Dist(args) => dist::main(&workspace()?, &args),
        Command::Deny => deny::check(&workspace()?).map(|()| ExitCode::SUCCESS),
        Command::Vm(args) => vm::main(&workspace()?, args),
    }
}
