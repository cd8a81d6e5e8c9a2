//! Filters by whose a socket is: the process, its user, its name.

use std::collections::HashSet;

use anyhow::{Context as _, bail};
use clap::Args;
use nix::errno::Errno;
use tracer_ebpf::{
    criteria::{BY_COMM, BY_UID, sets, switches::FILTER_OWNER},
    record::Process,
};

use super::{Criteria, Filter, criteria::Key, is_number, owner_of};
use crate::{
    event::{Event, Owner},
    host::{pid_namespace, pidfd, users::User},
};

/// What opening a process fails with where there is none: or only a thread, or an id that none can have.
const NO_PROCESS: [Errno; 3] = [Errno::ESRCH, Errno::EINVAL, Errno::ENOENT];

/// Longest name of a thread in bytes (TASK_COMM_LEN without its NUL).
const COMM_LENGTH: usize = 15;

/// The options.
#[derive(Debug, Clone, Default, Args)]
pub struct ProcessArgs {
    /// Sockets of these processes; the trace stops when they exit
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub pids: Vec<u32>,

    /// With -p, also sockets of their child processes
    #[arg(short, long, requires = "pids")]
    pub follow: bool,

    /// Sockets of these users, by name or id
    #[arg(short, long = "user", value_name = "USER", value_delimiter = ',')]
    pub users: Vec<String>,

    /// Sockets of processes or threads with these names (as in /proc/PID/comm, at most 15 bytes)
    #[arg(long = "comm", value_name = "NAME", value_parser = comm)]
    pub comms: Vec<String>,

    /// Descendants that a recording has told of.
    #[arg(skip)]
    pub(super) descendants: HashSet<u32>,
}

impl Filter for ProcessArgs {
    fn resolve(&self, criteria: &mut Criteria) -> anyhow::Result<()> {
        for &pid in &self.pids {
            // Not by /proc, which may be that of another pid namespace.
            if pidfd::open(pid).is_err_and(|error| NO_PROCESS.contains(&error)) {
                bail!("no such process: {pid} (try ps or pgrep){}", elsewhere());
            }
            criteria.want_process(pid);
        }
        if self.follow {
            criteria.follow_children();
        }
        for user in &self.users {
            criteria.add(sets::UIDS, Key::Number(user_id(user)?));
            criteria.switch(FILTER_OWNER, BY_UID);
        }
        for name in &self.comms {
            let mut comm = [0; 16];
            comm[..name.len()].copy_from_slice(name.as_bytes());
            criteria.add(sets::COMMS, Key::Name(comm));
            criteria.switch(FILTER_OWNER, BY_COMM);
        }
        Ok(())
    }

    fn admits(&self, event: &Event) -> bool {
        let Self { pids, users, comms, .. } = self;
        if pids.is_empty() && users.is_empty() && comms.is_empty() {
            return true;
        }
        let Some(owner) = owner_of(event) else { return false };
        (pids.is_empty() || owner.pid.here().is_some_and(|pid| self.has_process(pid)))
            && (users.is_empty() || users.iter().any(|user| is_of_user(owner, user)))
            && (comms.is_empty() || comms.contains(&owner.comm))
    }
}

impl ProcessArgs {
    /// A recording tells of a process.
    pub(super) fn learn(&mut self, process: &Process) {
        if self.follow && process.ancestors.iter().any(|ancestor| self.has_process(*ancestor)) {
            self.descendants.insert(process.header.owner.pid);
        }
    }

    fn has_process(&self, pid: u32) -> bool {
        self.pids.contains(&pid) || self.descendants.contains(&pid)
    }
}

fn is_of_user(owner: &Owner, user: &str) -> bool {
    owner.user.as_deref() == Some(user) || is_number(user, owner.uid)
}

/// Why a process that one knows of may not be there.
fn elsewhere() -> &'static str {
    match pid_namespace::inode() {
        Some(_) => "; the tracer is in a pid namespace of its own: run it in the host's to find processes there",
        None => "",
    }
}

fn user_id(user: &str) -> anyhow::Result<u32> {
    if let Ok(id) = user.parse() {
        return Ok(id);
    }
    let found = User::from_name(user).with_context(|| format!("cannot look up the user {user}"))?;
    let found = found.with_context(|| format!("no such user: {user} (see `getent passwd`)"))?;
    Ok(found.uid.as_raw())
}

fn comm(text: &str) -> Result<String, String> {
    // The kernel would cut it off, and so it would never match.
    if text.is_empty() || text.len() > COMM_LENGTH {
        return Err(format!("thread names are limited to {COMM_LENGTH} bytes: give the truncated name"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::criteria::BY_PID;

    use super::*;

    fn resolved(args: &ProcessArgs) -> anyhow::Result<Criteria> {
        let mut criteria = Criteria::default();
        args.resolve(&mut criteria)?;
        Ok(criteria)
    }

    #[test]
    fn each_option_sets_its_bit_and_fills_its_set() {
        let own = std::process::id();
        let args = ProcessArgs { pids: vec![own], users: vec!["root".into(), "7".into()], ..Default::default() };
        let criteria = resolved(&args).unwrap();
        assert_eq!(criteria.switches, [(FILTER_OWNER, BY_PID | BY_UID)].into());
        let (pids, uids) = (vec![Key::Number(own)], vec![Key::Number(0), Key::Number(7)]);
        assert_eq!(criteria.sets, [(sets::PIDS, pids), (sets::UIDS, uids)].into());
    }

    #[test]
    fn who_is_not_there_is_refused_with_a_remedy() {
        let refused = |args: ProcessArgs| resolved(&args).unwrap_err().to_string();
        // The kernel's own limit is 2^22 (PID_MAX_LIMIT).
        assert!(refused(ProcessArgs { pids: vec![u32::MAX], ..Default::default() }).contains("pgrep"));
        assert!(refused(ProcessArgs { users: vec!["no such".into()], ..Default::default() }).contains("getent"));
    }

    #[test]
    fn a_name_that_can_never_match_is_refused() {
        assert!(comm("fifteen-bytes-x").is_ok());
        assert!(comm("sixteen-bytes-xx").is_err());
        assert!(comm("").is_err());
    }
}
