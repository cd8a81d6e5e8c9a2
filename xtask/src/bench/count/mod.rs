//! `bench --count`: what tracing costs in instructions, which no noise touches.
//!
//! Each load runs in a virtual machine of its own, with each subject in turn. The machine has one processor, and its
//! clock counts instructions: so the load, the kernel, the subject's programs and its reader are all in the time that
//! passes, and neither the processor below nor what else it does is. The layout, in reading order:
//!
//! - [`guest`]: one load with each subject, inside of the machine;
//! - [`sample`]: what goes from there to the host;
//! - [`host`]: the machines, several at a time, in several rounds;
//! - [`table`]: the table for people, the JSON for programs;
//! - [`figures`]: the figures that are checked in, and how far what was measured may be from them;
//! - [`guard`]: measures and compares, or renews.

mod figures;
mod guard;
pub(crate) mod guest;
mod host;
mod sample;
mod table;

use std::path::Path;

use anyhow::{Result, bail};
use serde_json::Value;

pub(crate) use self::guard::check;
use self::{
    host::{Counted, Machines},
    table::LEGEND,
};
use super::{load::Workload, subject::Subject};
use crate::workspace::Workspace;

/// The loads whose work one thread does: what the scheduler makes of two would be counted, too.
pub(super) const WORKLOADS: [Workload; 4] =
    [Workload::ChurnRst, Workload::ChurnFin, Workload::Refused, Workload::Exchange];

/// The kernel of the checked-in figures. It has all that the tracer makes use of.
const KERNEL: &str = "6.12";

#[derive(clap::Args)]
pub(super) struct Options {
    /// Instead: count instructions, in virtual machines that nothing disturbs
    #[arg(long, conflicts_with_all = ["seconds", "threads", "soak"])]
    pub(super) count: bool,
    /// The kernel to count on, of `vm list`
    #[arg(long, value_name = "NAME", default_value = KERNEL, requires = "count", conflicts_with_all = ["check", "renew"])]
    kernel: String,
    /// Compare with the checked-in figures, as `ci` does
    #[arg(long, requires = "count", conflicts_with_all = ["renew", "only", "json"])]
    check: bool,
    /// Write the checked-in figures anew
    #[arg(long, requires = "count", conflicts_with_all = ["only", "json", "tracer"])]
    renew: bool,
}

/// What is to be measured, and how often.
pub(super) struct Plan<'a> {
    pub(super) tracer: &'a Path,
    pub(super) workloads: Vec<Workload>,
    pub(super) subjects: Vec<&'static Subject>,
    pub(super) rounds: u32,
}

/// Counts as the options say. The result is JSON, where there is any for a file.
pub(super) fn main(workspace: &Workspace, options: &Options, plan: &Plan<'_>) -> Result<Option<Value>> {
    if options.check {
        guard::check_with(workspace, plan.tracer, plan.rounds)?;
        return Ok(None);
    }
    if options.renew {
        guard::renew(workspace, plan.tracer, plan.rounds)?;
        return Ok(None);
    }
    if let Some(subject) = plan.subjects.iter().find(|it| !it.can_be_counted()) {
        bail!("{} cannot be counted: too much of it would have to go into a machine's memory", subject.name);
    }
    let machines = Machines::provide(workspace, &options.kernel, plan.tracer, &plan.subjects)?;
    println!("{}", machines.in_words());
    let counted = machines.count(&plan.workloads, plan.rounds)?;
    for workload in &counted {
        println!("\n{}", workload.to_text());
    }
    println!("{LEGEND}");
    Ok(Some(Counted::all_to_json(&counted, &machines.release())))
}
