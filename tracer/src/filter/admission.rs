//! The filters for events of a recording, by what it says of them: its processes, users and namespaces
//! are not this host's.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
};

use tracer_ebpf::record::Process;

use super::{FilterArgs, Ports, ports};
use crate::event::{Body, Event, Family, Kind, Owner};

/// Lets events pass.
#[derive(Debug)]
pub struct Admission {
    args: FilterArgs,
    kinds: BTreeSet<Kind>,
    pids: HashSet<u32>,
}

/// Where no socket is left to have an owner, the one that was there has.
fn past_owner(event: &Event) -> Option<&Owner> {
    match &event.body {
        Body::Rst(rst) | Body::StrayRst(rst) if !rst.socket => event.last_owner(),
        _ => None,
    }
}

/// The text is the number, however it is written: `007` is what a trace takes it for.
fn is_number(text: &str, number: Option<u32>) -> bool {
    number.is_some() && text.parse().ok() == number
}

impl Admission {
    /// `kinds`: those that are let pass.
    pub fn new(args: FilterArgs, kinds: BTreeSet<Kind>) -> Self {
        let pids = args.pids.iter().copied().collect();
        Self { args, kinds, pids }
    }

    /// A process is seen for the first time: it may descend from one that is wanted.
    pub fn learn(&mut self, process: &Process) {
        if self.args.follow && process.ancestors.iter().any(|ancestor| self.pids.contains(ancestor)) {
            self.pids.insert(process.header.owner.pid);
        }
    }

    /// The event is one to show.
    pub fn admits(&self, event: &Event) -> bool {
        self.kinds.contains(&event.kind())
            && self.admits_ends(event)
            && self.admits_owner(event.owner.as_deref().or_else(|| past_owner(event)))
            && self.admits_netns(event)
            && (self.args.opens.is_empty() || event.opened.is_some_and(|opened| self.args.opens.contains(&opened)))
    }

    fn admits_ends(&self, event: &Event) -> bool {
        let FilterArgs { ports: either, local_ports, remote_ports, networks, ipv4, ipv6, .. } = &self.args;
        let (local, remote) = (event.local, event.remote);
        let has = |wanted: &[Ports], ports: &[u16]| {
            wanted.is_empty() || ports.iter().any(|&port| ports::contain(wanted, port))
        };
        let has_family = match event.family {
            Family::Ipv4 => !*ipv6,
            Family::Ipv6 => !*ipv4,
        };
        has_family
            && has(either, &[local.port(), remote.port()])
            && has(local_ports, &[local.port()])
            && has(remote_ports, &[remote.port()])
            && (networks.is_empty()
                || networks.iter().any(|net| net.contains(&local.ip()) || net.contains(&remote.ip())))
    }

    fn admits_owner(&self, owner: Option<&Owner>) -> bool {
        let FilterArgs { pids, users, comms, cgroups, .. } = &self.args;
        if pids.is_empty() && users.is_empty() && comms.is_empty() && cgroups.is_empty() {
            return true;
        }
        let Some(owner) = owner else { return false };
        let is_user = |user: &String| owner.user.as_ref() == Some(user) || is_number(user, owner.uid);
        let is_in = |group: &String| owner.cgroup.as_ref().is_some_and(|path| Path::new(path).starts_with(group));
        (pids.is_empty() || owner.pid.here().is_some_and(|pid| self.pids.contains(&pid)))
            && (users.is_empty() || users.iter().any(is_user))
            && (comms.is_empty() || comms.contains(&owner.comm))
            && (cgroups.is_empty() || cgroups.iter().any(is_in))
    }

    fn admits_netns(&self, event: &Event) -> bool {
        let names = &self.args.netns;
        // A path was one of the host that the recording is of; what is left of it here is its name.
        let is_one = |name: &String| {
            let name = Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or(name);
            event.netns_name.as_deref() == Some(name) || is_number(name, event.netns)
        };
        names.is_empty() || names.iter().any(is_one)
    }
}
