//! Where it all ends: one trait, one file per format.

use std::io::{self, Write};

use crate::{
    event::{Event, Family},
    report::{Loss, RunInfo, ScenarioReport, Summary},
};

pub mod foreign;
pub mod format;
pub mod json;
pub mod page;
pub mod text;

/// Something to show.
#[derive(Debug, Clone, Copy)]
pub enum Item<'a> {
    /// The run begins.
    Start(&'a RunInfo),
    /// A demo scenario begins: its name, what will be played, and over which family.
    Scenario(&'static str, &'static str, Family),
    /// The kernel did something.
    Event(&'a Event),
    /// Something was lost lately.
    Loss(&'a Loss),
    /// A demo scenario ended.
    Report(&'a ScenarioReport, Family),
    /// The run ended.
    Summary(&'a Summary),
}

/// An output format.
pub trait Sink {
    /// Writes one item.
    ///
    /// # Errors
    /// If `out` cannot be written.
    fn write(&mut self, out: &mut dyn Write, item: Item<'_>) -> io::Result<()>;
}
