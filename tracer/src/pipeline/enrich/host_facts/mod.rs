//! Resolves ids that the kernel reports to names: users, control groups and the containers in
//! them, network namespaces; and command lines of processes that started before the trace.
//!
//! A fact is asked for when an event first needs it, and kept. A recording stores the facts that were
//! found, so that its replay never asks the machine that it happens to run on.
//!
//! What is to be masked is masked here, before this host tells it to anybody: see [`crate::redact`]. Records, and facts of
//! recordings, are masked when they come here.

use std::{collections::HashSet, sync::Arc};

use crate::{
    event::{Listener, Reader},
    host::pid_namespace,
    redact::Redactor,
};

mod cache;
mod cgroup;
mod command_line;
mod container;
mod fact;
mod masked;
mod netns;
mod older;
pub mod parsers;
mod users;

pub(crate) use self::fact::shortened;
pub use self::{cgroup::Cgroup, command_line::join_arguments, fact::Fact, netns::Sighting};
use self::{
    cgroup::Cgroups,
    fact::{Learned, Recorded},
    netns::Namespaces,
    older::Older,
    users::Users,
};

/// Answers from this machine or from a recording.
pub struct HostFacts {
    source: Source,
    learned: Learned,
    redactor: Redactor,
}

enum Source {
    Host(Box<Host>),
    Recorded(Box<Recorded>),
}

struct Host {
    /// `/proc` has processes by the ids that events have.
    has_proc: bool,
    users: Users,
    cgroups: Cgroups,
    namespaces: Namespaces,
    older: Older,
    /// Processes whose command lines were told.
    told: HashSet<u32>,
}

impl HostFacts {
    /// Asks this machine.
    pub fn of_host() -> Self {
        let host = Host {
            has_proc: pid_namespace::has_proc(),
            users: Users::default(),
            cgroups: Cgroups::default(),
            namespaces: Namespaces::default(),
            older: Older::default(),
            told: HashSet::new(),
        };
        Self::new(Source::Host(Box::new(host)))
    }

    /// Knows only what [`HostFacts::learn`] tells it.
    pub fn recorded() -> Self {
        Self::new(Source::Recorded(Box::default()))
    }

    fn new(source: Source) -> Self {
        Self { source, learned: Learned::default(), redactor: Redactor::of_nothing() }
    }

    /// Tells only what this leaves.
    pub fn redacted_by(self, redactor: Redactor) -> Self {
        Self { redactor, ..self }
    }

    /// What masks all that is told, and the records that ask for it.
    pub fn redactor(&mut self) -> &mut Redactor {
        &mut self.redactor
    }

    /// A user's name.
    pub fn user(&mut self, uid: u32) -> Option<String> {
        let Self { source, learned, redactor } = self;
        let masked = redactor.user(uid);
        match source {
            Source::Recorded(known) => masked.or_else(|| known.user(uid)),
            Source::Host(host) => {
                host.users.name(uid, masked, |name| learned.add(Fact::User { uid, name: name.to_owned() }))
            }
        }
    }

    /// The control group with this id in the unified hierarchy; `pid` is a process that was in it, which
    /// makes finding it cheap.
    pub fn cgroup(&mut self, id: u64, pid: Option<u32>) -> Option<Arc<Cgroup>> {
        let Self { source, learned, redactor } = self;
        match source {
            Source::Recorded(known) => known.cgroup(id),
            Source::Host(host) => {
                let pid = pid.filter(|_| host.has_proc);
                let mask = |path| masked::path(path, redactor);
                host.cgroups.get(id, pid, mask, |cgroup| learned.add(Fact::Cgroup { id, path: cgroup.path.clone() }))
            }
        }
    }

    /// What the network namespace of an event is called; the initial one has no name.
    pub fn netns(&mut self, seen: &Sighting) -> Option<Arc<str>> {
        let Self { source, learned, redactor: _ } = self;
        let inode = seen.inode;
        match source {
            Source::Recorded(known) => known.netns(inode),
            Source::Host(host) => host.namespaces.name(seen, |name| {
                learned.add(Fact::Netns { inode, name: name.unwrap_or_default().into() });
            }),
        }
    }

    /// Who listened elsewhere when a SYN was refused, if a recording tells; live it is the session that asks.
    pub fn listeners(&mut self, mono_ns: u64) -> Vec<Listener> {
        match &mut self.source {
            Source::Recorded(known) => known.listeners(mono_ns),
            Source::Host(_) => Vec::new(),
        }
    }

    /// Who did not read, if a recording tells; live it is the session that asks.
    pub fn reader(&mut self, mono_ns: u64) -> Option<Reader> {
        match &mut self.source {
            Source::Recorded(known) => known.reader(mono_ns),
            Source::Host(_) => None,
        }
    }

    /// How a process that is called `comm` was started, as one would type it; `None` for kernel threads, and for what
    /// has ended and is not known. Not kept: a pid is reused, and only the caller knows when.
    pub fn command_line(&mut self, pid: u32, comm: &str) -> Option<Arc<str>> {
        match &mut self.source {
            Source::Recorded(known) => known.command_line(pid),
            Source::Host(host) => {
                let line = host.has_proc.then(|| host.older.command_line(pid, comm)).flatten();
                let line = line.map(|line| masked::command_line(line, &self.redactor));
                // That there is none is worth a fact only where there was one.
                let was_told = if line.is_some() { host.told.replace(pid) } else { host.told.take(&pid) };
                if line.is_some() || was_told.is_some() {
                    self.learned.add(Fact::CommandLine { pid, line: line.clone().unwrap_or_default() });
                }
                line.map(Into::into)
            }
        }
    }

    /// Remembers the command lines of the processes that there are now.
    pub fn remember_processes(&mut self) {
        if let Source::Host(host) = &mut self.source {
            host.older = Older::now();
        }
    }

    /// The facts that were found since the last call, for a recording.
    pub fn take_learned(&mut self) -> Vec<Fact> {
        self.learned.take()
    }

    /// Tells a fact of a recording, masked; this machine needs no telling.
    pub fn learn(&mut self, fact: Fact) {
        if let Source::Recorded(known) = &mut self.source {
            known.learn(fact);
        }
    }
}

/// The id of this machine's control group at a path of the unified hierarchy.
pub fn cgroup_id(path: &str) -> Option<u64> {
    cgroup::id_at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_says_what_it_told_once_and_a_recording_answers_the_same() {
        let mut host = HostFacts::of_host();
        let uid = nix::unistd::getuid().as_raw();
        let pid = std::process::id();
        let (user, line) = (host.user(uid), host.command_line(pid, "").unwrap());
        assert_eq!(host.user(uid), user);
        let facts = host.take_learned();
        assert_eq!(facts.len(), usize::from(user.is_some()) + 1, "{facts:?}");
        assert_eq!(host.take_learned(), []);

        let mut replay = HostFacts::recorded();
        for fact in facts {
            replay.learn(fact);
        }
        assert_eq!((replay.user(uid), replay.command_line(pid, "")), (user, Some(line)));
        assert_eq!(replay.take_learned(), []);
    }

    #[test]
    fn a_recording_never_asks_this_machine() {
        let mut replay = HostFacts::recorded();
        let pid = std::process::id();
        let root = std::fs::metadata("/proc/self/ns/net").unwrap();
        assert_eq!(replay.user(0), None);
        assert_eq!(replay.cgroup(1, Some(pid)), None);
        let inode = u32::try_from(std::os::unix::fs::MetadataExt::ino(&root)).unwrap();
        assert_eq!(replay.netns(&Sighting { inode, ..Sighting::default() }), None);
        assert_eq!(replay.command_line(pid, ""), None);
    }

    #[test]
    fn a_host_cannot_be_told() {
        let mut host = HostFacts::of_host();
        host.learn(Fact::User { uid: u32::MAX - 7, name: "nobody-here".into() });
        assert_eq!(host.user(u32::MAX - 7), None);
    }
}
