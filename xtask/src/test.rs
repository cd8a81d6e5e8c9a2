//! `test`: the workspace's tests on this kernel, and the live ones on others.

use std::{
    io::{BufRead as _, BufReader},
    ops::AddAssign,
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{build, cargo, ebpf, privilege, process, vm, workspace::Workspace};

/// Means the kernel that runs already.
const HOST: &str = "host";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run the live tests on these kernels instead: names of `vm list`, `host`, or `ci` or `all` of both
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    vm: Vec<String>,
    #[command(flatten)]
    external: vm::External,
    #[command(flatten)]
    options: vm::Options,
    /// What to pass to the test binaries, such as a test's name
    #[arg(last = true)]
    args: Vec<String>,
}

/// How many tests did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

pub(crate) fn main(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let named = |name| args.vm.iter().any(|it| it == name);
    let machines: Vec<_> = args.vm.iter().filter(|it| *it != HOST).cloned().collect();
    let in_machines = !machines.is_empty() || args.external.is_given();
    let mut counts = Counts::default();
    if named(HOST) || named(vm::ALL) || !in_machines {
        counts += on_this_kernel(workspace, &args.args, &[])?;
    }
    if in_machines {
        counts += vm::test(workspace, &machines, &args.external, &args.options, &args.args)?;
    }
    Ok(counts.conclude())
}

/// Runs all tests of the workspace as root, with these variables in their environment.
pub(crate) fn on_this_kernel(
    workspace: &Workspace,
    args: &[String],
    environment: &[(String, String)],
) -> Result<Counts> {
    let object = ebpf::build(workspace)?;
    let mut command = build::host_cargo(workspace, "test", &object);
    if !privilege::is_root() {
        privilege::require_sudo()?;
        command.env(runner_variable()?, "sudo --preserve-env");
    }
    command.args(["--workspace", "--no-fail-fast"]).args(build::FEATURES).args(["--", "--include-ignored"]).args(args);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let shown = process::show(&command);
    let failed = || format!("cannot run `{shown}`");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(failed)?;
    let mut counts = Counts::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.with_context(failed)?;
            println!("{line}");
            counts += Counts::of_line(&line).unwrap_or_default();
        }
    }
    let status = child.wait().with_context(failed)?;
    // A test binary that died has no closing line.
    if !status.success() && counts.failed == 0 {
        bail!("`{shown}` failed: {status}");
    }
    Ok(counts)
}

/// The variable that makes cargo start test binaries through another program.
fn runner_variable() -> Result<String> {
    let host = cargo::host_target()?.to_uppercase().replace('-', "_");
    Ok(format!("CARGO_TARGET_{host}_RUNNER"))
}

impl Counts {
    /// Reads "test result: ok. 12 passed; 0 failed; 3 ignored; ...".
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let (_, results) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |name| {
            let mut fields = results.split("; ");
            fields.find_map(|field| field.strip_suffix(name)?.parse().ok())
        };
        Some(Self { passed: count(" passed")?, failed: count(" failed")? })
    }

    /// Prints the closing line.
    pub(crate) fn conclude(self) -> ExitCode {
        println!("\n{} passed, {} failed", self.passed, self.failed);
        match self.failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_a_test_binary_is_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; \
                    0 filtered out; finished in 0.51s";
        let expected = Counts { passed: 12, failed: 3 };
        assert_eq!(Counts::of_line(line), Some(expected));
        assert_eq!(Counts::of_line("test a::b ... ok"), None);
    }
}
