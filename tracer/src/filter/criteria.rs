//! What the kernel's programs go by: numbers of this host.

use std::collections::BTreeMap;

use tracer_ebpf::criteria::{
    BY_PID, PortSet, SET_REMOTE, sets,
    switches::{FILTER_OWNER, FOLLOW_CHILDREN, NETNS_ONLY},
};

use super::{FilterArgs, ports};

/// A key of a set, as wide as the set's keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A number, such as a process id.
    Number(u32),
    /// An id of a control group.
    Id(u64),
    /// A name of a thread, filled up with NUL.
    Name([u8; 16]),
}

/// The filters, resolved.
#[derive(Debug, Clone, Default)]
pub struct Criteria {
    /// Filters that are switched on, by the names of [`tracer_ebpf::criteria::switches`].
    pub switches: BTreeMap<&'static str, u8>,
    /// What their sets have in them, by the names of [`sets`].
    pub sets: BTreeMap<&'static str, Vec<Key>>,
    /// Ports, by their index in the programs' map.
    pub ports: Vec<(u32, Box<PortSet>)>,
    /// Networks of IPv6; those of IPv4 are v4-mapped.
    pub networks: Vec<(u32, [u8; 16])>,
    /// Of closes only those of what died without a RST. No filter: they are what there is to tell of.
    pub deaths_only: bool,
}

impl Criteria {
    /// Whether they let all RSTs of all namespaces pass.
    pub fn are_none(&self) -> bool {
        self.switches.is_empty()
    }

    /// Only network namespaces that are yet to be named.
    pub fn of_no_netns() -> Self {
        let mut criteria = Self::default();
        criteria.switch(NETNS_ONLY, 1);
        criteria
    }

    /// What the options mean on this host.
    ///
    /// # Errors
    /// If there is no such process, user, namespace or control group.
    pub fn of_host(args: &FilterArgs) -> anyhow::Result<Self> {
        let mut criteria = Self::default();
        for filter in args.filters() {
            filter.resolve(&mut criteria)?;
        }
        Ok(criteria)
    }

    /// Switches a filter on, by the bits that are its own.
    pub(super) fn switch(&mut self, switch: &'static str, bits: u8) {
        *self.switches.entry(switch).or_default() |= bits;
    }

    /// Puts a key into a set.
    pub(super) fn add(&mut self, set: &'static str, key: Key) {
        self.sets.entry(set).or_default().push(key);
    }

    /// Sockets of this process.
    pub fn want_process(&mut self, pid: u32) {
        self.add(sets::PIDS, Key::Number(pid));
        self.switch(FILTER_OWNER, BY_PID);
    }

    /// And of its children.
    pub fn follow_children(&mut self) {
        self.switch(FOLLOW_CHILDREN, 1);
    }

    /// Children of processes are reported too.
    pub fn follows_children(&self) -> bool {
        self.switches.contains_key(FOLLOW_CHILDREN)
    }

    /// Only certain processes are reported.
    pub fn is_by_process(&self) -> bool {
        self.sets.contains_key(sets::PIDS)
    }

    /// Only certain network namespaces are reported.
    pub fn is_by_netns(&self) -> bool {
        self.switches.contains_key(NETNS_ONLY)
    }

    /// Lowest and highest of the ports that this host's end may have.
    pub fn local_ports(&self) -> (u16, u16) {
        let sets = self.ports.iter().filter(|(set, _)| *set != SET_REMOTE);
        let all = sets.filter_map(|(_, set)| ports::bounds(set));
        all.reduce(|(low, high), (lower, higher)| (low.min(lower), high.max(higher))).unwrap_or((0, u16::MAX))
    }
}
