//! Filters by what keeps containers apart: network namespaces and control groups.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use anyhow::Context as _;
use clap::Args;
use tracer_ebpf::criteria::{
    BY_CGROUP, sets,
    switches::{FILTER_OWNER, NETNS_ONLY},
};

use super::{Criteria, Filter, criteria::Key, is_number, owner_of};
use crate::{
    event::{Event, Owner},
    pipeline::enrich::host_facts,
};

/// Where `ip netns` keeps its namespaces.
const NAMED: &str = "/run/netns";

/// The options.
#[derive(Debug, Clone, Default, Args)]
pub struct ContainerArgs {
    /// Network namespaces: names of `ip netns`, paths, or inodes
    #[arg(long = "netns", value_name = "NETNS")]
    pub netns: Vec<String>,

    /// Sockets of processes in these cgroups and their descendants, such as /system.slice/ssh.service
    #[arg(long = "cgroup", value_name = "PATH", value_parser = cgroup)]
    pub cgroups: Vec<String>,
}

impl Filter for ContainerArgs {
    fn resolve(&self, criteria: &mut Criteria) -> anyhow::Result<()> {
        for path in &self.cgroups {
            let id = host_facts::cgroup_id(path).with_context(|| {
                format!("no such cgroup: {path} (see `systemd-cgls`, or the last line of /proc/PID/cgroup)")
            })?;
            criteria.add(sets::CGROUPS, Key::Id(id));
            criteria.switch(FILTER_OWNER, BY_CGROUP);
        }
        for name in &self.netns {
            criteria.add(sets::NETNS, Key::Number(netns_inode(name)?));
            criteria.switch(NETNS_ONLY, 1);
        }
        Ok(())
    }

    fn admits(&self, event: &Event) -> bool {
        let Self { netns, cgroups } = self;
        (netns.is_empty() || netns.iter().any(|name| is_of_netns(event, name)))
            && (cgroups.is_empty()
                || owner_of(event).is_some_and(|owner| cgroups.iter().any(|group| is_in(owner, group))))
    }
}

/// A path was one of the host that the recording is of; what is left of it here is its name.
fn is_of_netns(event: &Event, name: &str) -> bool {
    let name = Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or(name);
    event.netns_name.as_deref() == Some(name) || is_number(name, event.netns)
}

fn is_in(owner: &Owner, group: &str) -> bool {
    owner.cgroup.as_ref().is_some_and(|path| Path::new(path).starts_with(group))
}

/// The path in the hierarchy, also from that of its directory.
fn cgroup(text: &str) -> Result<String, String> {
    let path = text.strip_prefix("/sys/fs/cgroup").unwrap_or(text).trim_end_matches('/');
    Ok(format!("/{}", path.trim_start_matches('/')))
}

fn netns_inode(name: &str) -> anyhow::Result<u32> {
    if let Ok(inode) = name.parse() {
        return Ok(inode);
    }
    let path = if name.contains('/') { Path::new(name).to_owned() } else { Path::new(NAMED).join(name) };
    let inode = fs::metadata(&path)
        .with_context(|| format!("no such netns: {name} (see `ip netns`, or give a path such as /proc/PID/ns/net)"))?;
    Ok(u32::try_from(inode.ino())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_may_be_named_by_their_directory() {
        for text in ["/user.slice", "user.slice", "/sys/fs/cgroup/user.slice/"] {
            assert_eq!(cgroup(text).unwrap(), "/user.slice");
        }
        assert_eq!(cgroup("/").unwrap(), "/");
    }

    #[test]
    fn what_is_not_there_is_refused_with_a_remedy() {
        let refused = |args: ContainerArgs| args.resolve(&mut Criteria::default()).unwrap_err().to_string();
        assert!(refused(ContainerArgs { netns: vec!["no such".into()], ..Default::default() }).contains("ip netns"));
        assert!(refused(ContainerArgs { cgroups: vec!["/no such".into()], ..Default::default() }).contains("cgroup"));
    }

    #[test]
    fn namespaces_are_asked_for_only_if_some_are_named() {
        let mut criteria = Criteria::default();
        ContainerArgs::default().resolve(&mut criteria).unwrap();
        assert!(!criteria.is_by_netns());
        ContainerArgs { netns: vec!["4026531840".into()], ..Default::default() }.resolve(&mut criteria).unwrap();
        assert!(criteria.is_by_netns());
        assert_eq!(criteria.sets, [(sets::NETNS, vec![Key::Number(4_026_531_840)])].into());
    }
}
