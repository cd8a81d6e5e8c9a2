//! `soak`: the live test of a long run, for as long as one likes.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    test::{self, Counts},
    vm,
    workspace::Workspace,
};

/// What the test reads (tracer/tests/live/soak.rs).
const SECONDS: &str = "TRACER_SOAK_SECONDS";
const TEST: &str = "soak::";
/// A machine has to start, and to build what it remembers.
const MARGIN: u64 = 600;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long it lasts
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Run it on these kernels, where the clock is set, too, instead of on this one: names of `vm list`
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    vm: Vec<String>,
}

pub(crate) fn main(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let seconds = args.minutes.saturating_mul(60);
    let variable = (SECONDS.to_owned(), seconds.to_string());
    let filter = [TEST, "--nocapture"].map(str::to_owned);
    let counts: Counts = if args.vm.is_empty() {
        test::on_this_kernel(workspace, &filter, &[variable])?
    } else {
        let options = vm::Options::lasting(seconds.saturating_add(MARGIN), vec![variable]);
        vm::test(workspace, &args.vm, &vm::External::default(), &options, &filter)?
    };
    Ok(counts.conclude())
}
