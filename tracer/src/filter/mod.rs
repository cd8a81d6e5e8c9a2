//! Which events one wants to see: as options ([`FilterArgs`]), as what the kernel's programs go by
//! ([`Criteria`]), and for recordings ([`Admission`]).
//!
//! Different filters are ANDed, several values of one filter are ORed. A file here has all three sides of its filters
//! (`Filter`); the fourth, the check in the kernel, is in `filter.rs` of the programs.

use clap::Args;

use crate::event::{Body, Event, Owner};

mod admission;
#[cfg(test)]
mod agreement;
mod container;
mod criteria;
mod ends;
mod opening;
mod ports;
mod process;

pub use self::{
    admission::Admission,
    container::ContainerArgs,
    criteria::{Criteria, Key},
    ends::EndsArgs,
    opening::OpeningArgs,
    ports::Ports,
    process::ProcessArgs,
};

/// The options.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters (different options are ANDed; repeated values are ORed)")]
pub struct FilterArgs {
    /// Whose a socket is.
    #[command(flatten)]
    pub process: ProcessArgs,
    /// What its ends are.
    #[command(flatten)]
    pub ends: EndsArgs,
    /// Which container it is in.
    #[command(flatten)]
    pub container: ContainerArgs,
    /// How it opened.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Some filters, as the user gave them.
trait Filter {
    /// Tells the programs what they mean on this host.
    ///
    /// # Errors
    /// If what they name is not there.
    fn resolve(&self, criteria: &mut Criteria) -> anyhow::Result<()>;

    /// An event of a recording passes them.
    fn admits(&self, event: &Event) -> bool;
}

impl FilterArgs {
    fn filters(&self) -> [&dyn Filter; 4] {
        let Self { process, ends, container, opening } = self;
        [process, ends, container, opening]
    }
}

/// Whose it is to a filter: where no socket is left to have an owner, the one that was there has.
fn owner_of(event: &Event) -> Option<&Owner> {
    match &event.body {
        Body::Rst(rst) | Body::StrayRst(rst) if !rst.socket => event.last_owner(),
        _ => event.owner.as_deref(),
    }
}

/// The text is the number, however it is written: `007` is what a trace takes it for.
fn is_number(text: &str, number: Option<u32>) -> bool {
    number.is_some() && text.parse().ok() == number
}
