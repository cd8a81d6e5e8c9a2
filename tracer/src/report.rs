//! What a run says beside its events: a scenario's verdict and the summary.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::probes::Mechanism;

/// The end of one demo scenario.
#[derive(Debug, Clone, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// This program's version.
    pub version: String,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The mechanism for each event that was wanted, null where none works here.
    pub probes: BTreeMap<String, Option<Mechanism>>,
    /// What cannot be seen on this kernel, one sentence each.
    pub degraded: Vec<String>,
}

/// The last thing that a run says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Events shown, by kind.
    pub counts: BTreeMap<String, u64>,
    /// Records that did not make it, by stage.
    pub lost: Lost,
    /// The mechanism for each event that was wanted.
    pub probes: BTreeMap<String, Option<Mechanism>>,
    /// Wall-clock seconds from the last attachment to the first detachment.
    pub seconds: f64,
    /// The answer that the demo came to, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answer: Vec<String>,
}

/// Records lost, by stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    /// The ring buffer was full, by record kind.
    pub ring_buffer: BTreeMap<String, u64>,
    /// The bytes were no record of this version.
    pub decode: u64,
}

impl Lost {
    /// Records lost in all stages.
    pub fn total(&self) -> u64 {
        self.ring_buffer.values().sum::<u64>() + self.decode
    }
}
