//! The filters for events of a recording, by what it says of them: its processes, users and namespaces
//! are not this host's.

use std::collections::BTreeSet;

use tracer_ebpf::record::Process;

use super::FilterArgs;
use crate::event::{Event, Kind};

/// Lets events pass.
#[derive(Debug)]
pub struct Admission {
    filter: FilterArgs,
    kinds: BTreeSet<Kind>,
}

impl Admission {
    /// `kinds`: those that are let pass.
    pub fn new(filter: FilterArgs, kinds: BTreeSet<Kind>) -> Self {
        Self { filter, kinds }
    }

    /// A process is seen for the first time: it may descend from one that is wanted.
    pub fn learn(&mut self, process: &Process) {
        self.filter.process.learn(process);
    }

    /// The event is one to show.
    pub fn admits(&self, event: &Event) -> bool {
        self.kinds.contains(&event.kind()) && self.filter.filters().into_iter().all(|filter| filter.admits(event))
    }
}
