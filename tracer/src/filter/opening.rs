//! The filter by how a connection opened.

use clap::Args;
use tracer_ebpf::criteria::switches::FILTER_OPENS;

use super::{Criteria, Filter};
use crate::{
    event::{Event, Opened},
    pipeline::enrich::connection::OPENS,
};

/// The options.
#[derive(Debug, Clone, Default, Args)]
pub struct OpeningArgs {
    /// Only connections opened this way; earlier events are not shown
    #[arg(long, value_name = "HOW", value_delimiter = ',')]
    pub opens: Vec<Opened>,
}

impl Filter for OpeningArgs {
    fn resolve(&self, criteria: &mut Criteria) -> anyhow::Result<()> {
        for (number, _) in OPENS.iter().filter(|(_, opened)| self.opens.contains(opened)) {
            criteria.switch(FILTER_OPENS, 1 << number);
        }
        Ok(())
    }

    fn admits(&self, event: &Event) -> bool {
        self.opens.is_empty() || event.opened.is_some_and(|opened| self.opens.contains(&opened))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_its_bit() {
        let mut criteria = Criteria::default();
        let args = OpeningArgs { opens: vec![Opened::Itself, Opened::Active] };
        args.resolve(&mut criteria).unwrap();
        assert_eq!(criteria.switches, [(FILTER_OPENS, 1 << 4 | 1 << 1)].into());
    }
}
