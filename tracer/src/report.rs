//! What a run reports besides its events: a scenario's verdict and the summary.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::Timestamp;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    event::{Confidence, Direction, Kind},
    kernel::{probes::Mechanism, room::Room},
    redact::{Redact, Redactor, Secret},
};

/// The end of one demo scenario.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct ScenarioReport {
    /// The scenario's name on the command line.
    pub scenario: &'static str,
    /// True if the kernel behaved as the scenario expects.
    pub ok: bool,
    /// Outcome in one sentence, from what was observed.
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

/// How events are observed: the first line of a run.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct RunInfo {
    /// This program's version.
    pub version: String,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// Mechanism for each requested event; null if no mechanism works on this kernel.
    pub probes: BTreeMap<String, Option<Mechanism>>,
    /// Limitations on this kernel, one sentence each.
    pub degraded: Vec<String>,
    /// Capacity of the programs' socket table.
    #[serde(default)]
    pub room: Room,
    /// What is masked in all that follows (`--redact`); absent if nothing is.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub redacted: BTreeSet<Secret>,
}

/// It is made without a look at what is traced.
impl Redact for RunInfo {
    fn redact(&mut self, _: &mut Redactor) {
        let Self { version: _, kernel: _, probes: _, degraded: _, room: _, redacted: _ } = self;
    }
}

/// The last line of a run.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Summary {
    /// Events shown, by kind.
    pub counts: BTreeMap<String, u64>,
    /// Records that the kernel's programs put into the ring buffer, by kind, counted by the programs. An open or close
    /// within the record of its state change counts as a record of its own.
    pub submitted: BTreeMap<String, u64>,
    /// Records of `submitted` that are not in `counts`; absent in a demo, which also shows lookups of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounted: Option<Accounted>,
    /// Records lost, by stage.
    pub lost: Lost,
    /// Mechanism for each requested event.
    pub probes: BTreeMap<String, Option<Mechanism>>,
    /// Wall-clock seconds from the last attachment to the first detachment.
    pub seconds: f64,
    /// RSTs by cause, process and peer, the most frequent first; only in `tracer rst`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causes: Option<Vec<CauseCount>>,
    /// Network namespaces whose kernel counted more than the tracer reported; filled only if no filter was given.
    #[serde(default)]
    pub unaccounted: Vec<Unaccounted>,
    /// The answer that the demo came to, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answer: Vec<String>,
}

impl Redact for Summary {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self {
            counts: _,
            submitted: _,
            accounted: _,
            lost: _,
            probes: _,
            seconds: _,
            causes,
            unaccounted: _,
            answer: _,
        } = self;
        causes.iter_mut().flatten().for_each(|row| row.redact(redactor));
    }
}

/// Submitted records that were not shown. The sum of `submitted` equals the sum of `counts`, of these fields, and
/// `lost.decode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Accounted {
    /// Records that describe a process.
    pub processes: u64,
    /// Dropped segments that did not belong to this host's TCP.
    pub not_tcp: u64,
    /// Reports of a received RST that turned out to be none.
    pub retracted: u64,
    /// Events used only as evidence for verdicts, of kinds that are not shown.
    pub evidence: u64,
    /// Records discarded after the requested number of events (`-c`) had been shown.
    pub cut_off: u64,
}

/// RSTs of one cause, process and peer.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct CauseCount {
    /// Identifier of the cause, see `tracer rst --causes`.
    pub cause: String,
    /// The cause in a few words.
    pub title: String,
    /// What to do.
    pub remedy: String,
    /// Direction of the RSTs; null for failures without a RST.
    pub direction: Option<Direction>,
    /// Name of the process that owns, or owned, the sockets, `-` if unknown; null if there were too many groups to keep
    /// apart.
    pub process: Option<String>,
    /// The peer's address; null if there were too many groups to keep apart.
    pub peer: Option<IpAddr>,
    /// Number of RSTs or failures.
    pub count: u64,
    /// Lowest confidence of the verdicts.
    pub confidence: Confidence,
    /// Time of the first one.
    pub first: Timestamp,
    /// Time of the last one.
    pub last: Timestamp,
}

impl Redact for CauseCount {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self {
            cause: _,
            title: _,
            remedy: _,
            direction: _,
            process: _,
            peer,
            count: _,
            confidence: _,
            first: _,
            last: _,
        } = self;
        *peer = peer.map(|peer| redactor.address(peer));
    }
}

/// Kernel counters of RSTs in each network namespace (RFC 4022).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize)]
pub enum Counter {
    /// RSTs sent.
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

/// A network namespace whose kernel counted more than the tracer reported: firewalls and raw sockets aside, there
/// should be none.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Unaccounted {
    /// Inode of the network namespace.
    pub netns: u32,
    /// The counter.
    pub counter: Counter,
    /// Increase of the kernel's counter.
    pub counted: u64,
    /// Number of matching events that the tracer reported.
    pub reported: u64,
}

/// What was lost, by stage, and what was reported in part.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Lost {
    /// Records lost because the ring buffer was full, by kind.
    pub ring_buffer: BTreeMap<String, u64>,
    /// Records that could not be decoded.
    pub decode: u64,
    /// Program runs that the kernel skipped, because the program was already running on that CPU: each may have been an
    /// event.
    pub skipped: u64,
    /// Events that the filters could not decide on, because the socket table was full, by kind.
    pub undecided: BTreeMap<String, u64>,
    /// Objects for which the programs' tables had no room: `sockets` (owner and start are unknown), `listeners` (owner
    /// is unknown), `processes` (not followed, their events are lost).
    pub memory: BTreeMap<String, u64>,
    /// Events reported in part, not lost, by kind: the socket table had no room for their sockets, so owner, opening
    /// and times are known only as far as the event tells them.
    pub unremembered: BTreeMap<String, u64>,
}

impl Lost {
    /// Events lost in all stages.
    pub fn total(&self) -> u64 {
        let lost = self.ring_buffer.values().chain(self.undecided.values()).chain(self.memory.get("processes"));
        // A recording may say anything.
        lost.chain([&self.decode, &self.skipped]).fold(0, |all, count| all.saturating_add(*count))
    }

    /// Events that were reported in part.
    pub fn in_part(&self) -> u64 {
        self.unremembered.values().fold(0, |all, count| all.saturating_add(*count))
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

/// Recent losses: reported while they happen, at most once a second.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Loss {
    /// End of the period.
    pub time: Timestamp,
    /// Start of the period: earlier losses were reported before.
    pub since: Timestamp,
    /// `CLOCK_MONOTONIC` in nanoseconds up to which all events precede this line; 0 if unknown.
    pub mono_ns: u64,
    /// Losses by stage, without zeros.
    pub lost: Lost,
}

impl Redact for Loss {
    fn redact(&mut self, _: &mut Redactor) {
        let Self { time: _, since: _, mono_ns: _, lost: _ } = self;
    }
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
