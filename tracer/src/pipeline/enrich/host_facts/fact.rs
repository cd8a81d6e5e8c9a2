//! Facts as a recording stores them.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Cgroup;
use crate::event::{Listener, Reader};

/// What a host calls a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A user's name.
    User {
        /// The user's id.
        uid: u32,
        /// The name.
        name: String,
    },
    /// Where a control group is. Its container follows from the path, so that a later tracer may know more.
    Cgroup {
        /// Its id in the unified hierarchy.
        id: u64,
        /// Its path there.
        path: String,
    },
    /// A network namespace's name.
    Netns {
        /// Its inode.
        inode: u32,
        /// The name; empty for one that has none any more.
        name: String,
    },
    /// Who listened on a port that a SYN was for, when it was refused.
    Listeners {
        /// `CLOCK_MONOTONIC` of the RST, in nanoseconds.
        mono_ns: u64,
        /// Who.
        listeners: Vec<Listener>,
    },
    /// Events were lost before.
    Lost {
        /// `CLOCK_MONOTONIC` when that was noticed, in nanoseconds.
        mono_ns: u64,
    },
    /// The process that held the peer's socket of a connection that failed with a closed window.
    Reader {
        /// `CLOCK_MONOTONIC` of the end, in nanoseconds.
        mono_ns: u64,
        /// Who.
        reader: Reader,
    },
    /// The trace was told to stop: what happens from then on only explains what happened before.
    Stopped {
        /// `CLOCK_MONOTONIC` in nanoseconds.
        mono_ns: u64,
    },
    /// How a process was started.
    CommandLine {
        /// The process.
        pid: u32,
        /// Its arguments, as [`super::join_arguments`] shows them; empty where they are not known any more.
        line: String,
    },
}

/// Longest path of a control group (`PATH_MAX`), and longer than any name.
const LONGEST_PATH: usize = 4096;
/// Longest command line: of as many bytes as are read of one, each may be quoted.
const LONGEST_LINE: usize = 64 << 10;

impl Fact {
    /// As a host may have it: many events share a fact, so in one of a recording that somebody made a long text would
    /// multiply.
    pub(crate) fn shortened(self) -> Self {
        match self {
            Self::User { uid, name } => Self::User { uid, name: shortened(name, LONGEST_PATH) },
            Self::Cgroup { id, path } => Self::Cgroup { id, path: shortened(path, LONGEST_PATH) },
            Self::Netns { inode, name } => Self::Netns { inode, name: shortened(name, LONGEST_PATH) },
            Self::CommandLine { pid, line } => Self::CommandLine { pid, line: shortened(line, LONGEST_LINE) },
            // These are of one event.
            Self::Listeners { .. } | Self::Reader { .. } | Self::Lost { .. } | Self::Stopped { .. } => self,
        }
    }
}

/// A text of that many bytes at most, which shows that there was more.
pub(crate) fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Facts that nobody took yet.
#[derive(Default)]
pub(super) struct Learned(Vec<Fact>);

impl Learned {
    /// A run that records takes them after each event; one that does not never will.
    const MOST: usize = 1024;

    pub(super) fn add(&mut self, fact: Fact) {
        if self.0.len() < Self::MOST {
            self.0.push(fact);
        }
    }

    pub(super) fn take(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.0)
    }
}

/// The facts of a recording; the latest of a number holds. As large as the recording, so without bounds.
#[derive(Default)]
pub(super) struct Recorded {
    users: HashMap<u32, String>,
    cgroups: HashMap<u64, Arc<Cgroup>>,
    namespaces: HashMap<u32, Arc<str>>,
    command_lines: HashMap<u32, Arc<str>>,
    listeners: Option<(u64, Vec<Listener>)>,
    reader: Option<(u64, Reader)>,
}

impl Recorded {
    pub(super) fn learn(&mut self, fact: Fact) {
        match fact {
            Fact::User { uid, name } => {
                self.users.insert(uid, name);
            }
            Fact::Cgroup { id, path } => {
                self.cgroups.insert(id, Arc::new(Cgroup::at(path)));
            }
            Fact::Netns { inode, name } => {
                self.namespaces.insert(inode, name.into());
            }
            Fact::Listeners { mono_ns, listeners } => self.listeners = Some((mono_ns, listeners)),
            Fact::Reader { mono_ns, reader } => self.reader = Some((mono_ns, reader)),
            // They say nothing of a number.
            Fact::Lost { .. } | Fact::Stopped { .. } => {}
            Fact::CommandLine { pid, line } => {
                self.command_lines.insert(pid, line.into());
            }
        }
    }

    pub(super) fn user(&self, uid: u32) -> Option<String> {
        self.users.get(&uid).cloned()
    }

    pub(super) fn cgroup(&self, id: u64) -> Option<Arc<Cgroup>> {
        self.cgroups.get(&id).cloned()
    }

    pub(super) fn netns(&self, inode: u32) -> Option<Arc<str>> {
        self.namespaces.get(&inode).filter(|name| !name.is_empty()).cloned()
    }

    /// Listeners that were recorded for the event of this time.
    pub(super) fn listeners(&mut self, mono_ns: u64) -> Vec<Listener> {
        self.listeners.take_if(|(time, _)| *time == mono_ns).map(|(_, listeners)| listeners).unwrap_or_default()
    }

    /// The process that did not read, recorded for the event of this time.
    pub(super) fn reader(&mut self, mono_ns: u64) -> Option<Reader> {
        self.reader.take_if(|(time, _)| *time == mono_ns).map(|(_, reader)| reader)
    }

    pub(super) fn command_line(&self, pid: u32) -> Option<Arc<str>> {
        self.command_lines.get(&pid).filter(|line| !line.is_empty()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_small_objects() {
        let facts = [
            (Fact::User { uid: 0, name: "root".into() }, r#"{"user":{"uid":0,"name":"root"}}"#),
            (Fact::Cgroup { id: u64::MAX, path: "/".into() }, r#"{"cgroup":{"id":18446744073709551615,"path":"/"}}"#),
            (Fact::Netns { inode: 7, name: "blue".into() }, r#"{"netns":{"inode":7,"name":"blue"}}"#),
            (Fact::CommandLine { pid: 1, line: "init".into() }, r#"{"command_line":{"pid":1,"line":"init"}}"#),
        ];
        for (fact, json) in facts {
            assert_eq!(serde_json::to_string(&fact).unwrap(), json);
            assert_eq!(serde_json::from_str::<Fact>(json).unwrap(), fact);
        }
    }

    #[test]
    fn the_latest_fact_of_a_number_holds() {
        let mut known = Recorded::default();
        known.learn(Fact::Netns { inode: 7, name: "blue".into() });
        known.learn(Fact::Netns { inode: 7, name: "green".into() });
        assert_eq!(known.netns(7).as_deref(), Some("green"));
        known.learn(Fact::Netns { inode: 7, name: String::new() });
        assert_eq!(known.netns(7), None);
        let path = format!("/docker/{}", "a".repeat(64));
        known.learn(Fact::Cgroup { id: 1, path });
        assert!(known.cgroup(1).unwrap().container.is_some());
    }

    #[test]
    fn facts_that_nobody_takes_do_not_pile_up() {
        let mut learned = Learned::default();
        for uid in 0..5000 {
            learned.add(Fact::User { uid, name: String::new() });
        }
        assert_eq!(learned.take().len(), Learned::MOST);
        assert!(learned.take().is_empty());
    }
}
