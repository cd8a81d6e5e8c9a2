//! What a run says beside its events: a scenario's verdict and the summary.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{diagnose::Confidence, event::Direction, kind::Kind, probes::Mechanism, room::Room};

/// The end of one demo scenario.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct ScenarioReport {
    /// The scenario's name on the command line.
    pub scenario: &'static str,
    /// The kernel did what the scenario is about.
    pub ok: bool,
    /// The scenario in one sentence, from what was seen.
    pub outcome: String,
    /// Named values behind the outcome: from the probes, and from witnesses such as `/proc/net/snmp`.
    pub facts: Map<String, Value>,
    /// Lines shown as they are before the verdict, such as the socket as netstat prints it.
    #[serde(skip)]
    pub exhibits: Vec<String>,
    /// The verdict: two or three lines in plain words.
    #[serde(skip)]
    pub verdict: Vec<String>,
}

/// How the events were observed: the first thing that a run says.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct RunInfo {
    /// This program's version.
    pub version: String,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The mechanism for each event that was wanted, null where none works here.
    pub probes: BTreeMap<String, Option<Mechanism>>,
    /// What cannot be seen on this kernel, one sentence each.
    pub degraded: Vec<String>,
    /// How much the programs may remember.
    #[serde(default)]
    pub room: Room,
}

/// The last thing that a run says.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Summary {
    /// Events shown, by kind.
    pub counts: BTreeMap<String, u64>,
    /// Records that the kernel's programs put into the ring buffer, by kind: their own count, in which an opening or
    /// a close within the record of its state change is one, too.
    pub submitted: BTreeMap<String, u64>,
    /// Why that is not the sum of `counts`; null in a demo, which also shows what it asks for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounted: Option<Accounted>,
    /// Records that did not make it, by stage.
    pub lost: Lost,
    /// The mechanism for each event that was wanted.
    pub probes: BTreeMap<String, Option<Mechanism>>,
    /// Wall-clock seconds from the last attachment to the first detachment.
    pub seconds: f64,
    /// Of `tracer rst`: RSTs by cause, process and peer, the most frequent first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causes: Option<Vec<CauseCount>>,
    /// Namespaces that sent more RSTs than were reported, where all were to be.
    #[serde(default)]
    pub unaccounted: Vec<Unaccounted>,
    /// The answer that the demo came to, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answer: Vec<String>,
}

/// What became of the records that the kernel submitted, besides being shown: all of `submitted` together are all of
/// `counts`, all of these, and `lost.decode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Accounted {
    /// Records that tell of a process, which events name.
    pub processes: u64,
    /// Segments that were dropped, but were none of this host's TCP.
    pub not_tcp: u64,
    /// What looked as if a RST had come, and was none.
    pub retracted: u64,
    /// Events that were evidence for a verdict, of kinds that are not shown.
    pub evidence: u64,
    /// What was not looked at any more, because as many events as were asked for had been shown.
    pub cut_off: u64,
}

/// RSTs of one cause, process and peer.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct CauseCount {
    /// Identifier of the cause, see `tracer rst --causes`.
    pub cause: String,
    /// What that is.
    pub title: String,
    /// What to do.
    pub remedy: String,
    /// Which way the RSTs went; null for connections that died without one.
    pub direction: Option<Direction>,
    /// Name of the process that owns, or owned, the sockets, `-` without one; null where there were too many
    /// groups to keep apart.
    pub process: Option<String>,
    /// The other end's address; null where there were too many.
    pub peer: Option<IpAddr>,
    /// How many.
    pub count: u64,
    /// How sure the least sure verdict is.
    pub confidence: Confidence,
    /// Time of the first.
    pub first: Timestamp,
    /// Time of the last.
    pub last: Timestamp,
}

/// What a kernel counts of RSTs in each network namespace (RFC 4022).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize)]
pub enum Counter {
    /// RSTs that it sent.
    OutRsts,
    /// Connections that went from ESTABLISHED or CLOSE-WAIT to CLOSE: aborted, reset or timed out.
    EstabResets,
}

impl Counter {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::OutRsts, Self::EstabResets];

    /// As in `/proc/net/snmp`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OutRsts => "OutRsts",
            Self::EstabResets => "EstabResets",
        }
    }
}

/// A namespace that counted more than was reported: firewalls and raw sockets apart, there should be none.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Unaccounted {
    /// Its inode.
    pub netns: u32,
    /// What was counted.
    pub counter: Counter,
    /// How often its kernel counted that.
    pub counted: u64,
    /// How often it was reported.
    pub reported: u64,
}

/// What was lost, by stage, and what was reported in part.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Lost {
    /// The ring buffer was full, by record kind.
    pub ring_buffer: BTreeMap<String, u64>,
    /// The bytes were no record of this version.
    pub decode: u64,
    /// Runs of the programs that the kernel skipped, because the CPU was running the same one: each may have
    /// been an event.
    pub skipped: u64,
    /// Events that the filters may want, by kind: what they ask for had found no room.
    pub undecided: BTreeMap<String, u64>,
    /// What found no room in the programs' memory: `sockets` (of which the past is not known then), `listeners` (of
    /// which the process is not), `processes` (which are not followed, and whose events are lost).
    pub memory: BTreeMap<String, u64>,
    /// No loss, but events of such sockets: they were reported, by kind, with owner, opening and times as far as their
    /// moment tells them.
    pub unremembered: BTreeMap<String, u64>,
}

impl Lost {
    /// Events lost in all stages.
    pub fn total(&self) -> u64 {
        let lost = self.ring_buffer.values().chain(self.undecided.values()).chain(self.memory.get("processes"));
        lost.sum::<u64>() + self.decode + self.skipped
    }

    /// Events that were reported in part.
    pub fn in_part(&self) -> u64 {
        self.unremembered.values().sum()
    }

    /// What has been added since it was `before`.
    pub fn since(&self, before: &Self) -> Self {
        let maps = |all: fn(&Self) -> &BTreeMap<String, u64>| {
            let added = |(name, count): (&String, &u64)| {
                let added = count.saturating_sub(all(before).get(name).copied().unwrap_or(0));
                (added > 0).then(|| (name.clone(), added))
            };
            all(self).iter().filter_map(added).collect()
        };
        Self {
            ring_buffer: maps(|lost| &lost.ring_buffer),
            decode: self.decode.saturating_sub(before.decode),
            skipped: self.skipped.saturating_sub(before.skipped),
            undecided: maps(|lost| &lost.undecided),
            memory: maps(|lost| &lost.memory),
            unremembered: maps(|lost| &lost.unremembered),
        }
    }
}

/// What was lost lately: said while it happens, at most once a second.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Loss {
    /// Up to when.
    pub time: Timestamp,
    /// From when on: what came before was said before.
    pub since: Timestamp,
    /// `CLOCK_MONOTONIC` up to which all events had been read, in nanoseconds: those come before this line.
    pub mono_ns: u64,
    /// By stage; only what is not 0.
    pub lost: Lost,
}

/// Events by kind.
#[derive(Debug, Clone, Default)]
pub struct Counts(BTreeMap<Kind, u64>);

impl Counts {
    /// Counts an event.
    pub fn add(&mut self, kind: Kind) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// Events of all kinds.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl From<Counts> for BTreeMap<String, u64> {
    fn from(Counts(counts): Counts) -> Self {
        counts.into_iter().map(|(kind, count)| (kind.name().to_owned(), count)).collect()
    }
}
