//! What must be told of one end.

use std::net::SocketAddr;

use serde_json::Value;
use tracer::event::Confidence;

use super::{Judgement, confidence};

/// One end of a connection, or an attempt at one, and what must be told of it.
pub(crate) struct End {
    event: &'static str,
    direction: Option<&'static str>,
    netns: Option<u32>,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    causes: Vec<&'static str>,
    at_most: Confidence,
    fields: Vec<(&'static str, Value)>,
    owner: Option<(String, u32)>,
    says: Vec<String>,
    never_says: Vec<String>,
    count: Option<usize>,
}

impl End {
    fn new(event: &'static str, cause: &'static str) -> Self {
        Self {
            event,
            direction: None,
            netns: None,
            local: None,
            remote: None,
            causes: vec![cause],
            at_most: Confidence::Certain,
            fields: Vec::new(),
            owner: None,
            says: Vec::new(),
            never_says: Vec::new(),
            count: None,
        }
    }

    /// Its RST was sent, for this cause.
    pub(crate) fn sent(cause: &'static str) -> Self {
        Self { direction: Some("sent"), ..Self::new("rst", cause) }
    }

    /// A RST was received and reset its socket, for this cause.
    pub(crate) fn received(cause: &'static str) -> Self {
        Self { direction: Some("received"), ..Self::new("rst", cause) }
    }

    /// A RST was received but ignored.
    pub(crate) fn stray(cause: &'static str) -> Self {
        Self::new("stray_rst", cause)
    }

    /// It died without a RST.
    pub(crate) fn died(cause: &'static str) -> Self {
        Self::new("close", cause)
    }

    /// Its socket was closed in this way (`ended_by`), whether that has a verdict or not.
    pub(crate) fn closed(ended_by: &'static str) -> Self {
        let mut end = Self::new("close", "");
        end.causes.clear();
        end.field("ended_by", ended_by)
    }

    /// This cause is right, too, where a kernel does not tell the two apart.
    pub(crate) fn or(mut self, cause: &'static str) -> Self {
        self.causes.push(cause);
        self
    }

    /// More than this would be a promise that another history breaks.
    pub(crate) fn at_most(self, at_most: Confidence) -> Self {
        Self { at_most, ..self }
    }

    /// In the namespace with this inode, where more than one has these ends.
    pub(crate) fn in_netns(self, inode: u32) -> Self {
        Self { netns: Some(inode), ..self }
    }

    /// Of the socket with this local end.
    pub(crate) fn local(self, end: SocketAddr) -> Self {
        Self { local: Some(end), ..self }
    }

    /// Of the socket with this remote end.
    pub(crate) fn remote(self, end: SocketAddr) -> Self {
        Self { remote: Some(end), ..self }
    }

    /// The verdict names this process as the one that did it.
    pub(crate) fn by(self, comm: &str, pid: u32) -> Self {
        self.says(format!("{comm}[{pid}]"))
    }

    /// The event's owner is this process.
    pub(crate) fn owner(self, comm: &str, pid: u32) -> Self {
        Self { owner: Some((comm.to_owned(), pid)), ..self }
    }

    /// Expects the other cause where this one was expected.
    pub(crate) fn instead_of(mut self, cause: &'static str, other: &'static str) -> Self {
        self.causes.iter_mut().filter(|it| **it == cause).for_each(|it| *it = other);
        self
    }

    /// The verdict's sentence has these words.
    pub(crate) fn says(mut self, words: impl Into<String>) -> Self {
        self.says.push(words.into());
        self
    }

    /// The verdict's sentence does not have these words.
    pub(crate) fn never_says(mut self, words: impl Into<String>) -> Self {
        self.never_says.push(words.into());
        self
    }

    /// A member of the JSON object, `opened` for one.
    pub(crate) fn field(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// So many events, not one or more.
    pub(crate) fn times(self, count: usize) -> Self {
        Self { count: Some(count), ..self }
    }

    /// It is to be read from a trace that reports each close, and not from `tracer rst`, which reports deaths.
    pub(crate) fn is_close(&self) -> bool {
        self.event == "close" && self.causes.is_empty()
    }

    /// The event is of this address and port.
    pub(crate) fn is(&self, event: &Value) -> bool {
        let has = |name: &str, wanted: Option<String>| wanted.is_none_or(|wanted| event[name] == wanted);
        event["event"] == self.event
            && has("direction", self.direction.map(str::to_owned))
            && has("local", self.local.map(|end| end.to_string()))
            && has("remote", self.remote.map(|end| end.to_string()))
            && self.netns.is_none_or(|inode| event["netns"] == inode)
    }

    /// Enough events of it have come.
    pub(crate) fn has_come<'a>(&self, events: impl Iterator<Item = &'a Value>) -> bool {
        events.filter(|event| self.is(event)).count() >= self.count.unwrap_or(1)
    }

    /// What is wrong with how many there were.
    pub(crate) fn miscount(&self, found: usize) -> Option<String> {
        match self.count {
            Some(wanted) if wanted != found => Some(format!("{found} events instead of {wanted} of {self}")),
            None if found == 0 => Some(format!("no event of {self}")),
            _ => None,
        }
    }

    /// What the event's verdict is worth; why it is wrong, if it is.
    pub(crate) fn judge(&self, event: &Value) -> (Judgement, String) {
        let verdict = &event["verdict"];
        let summary = verdict["summary"].as_str().unwrap_or_default();
        let confidence = confidence(event);
        let wrong = |why: String| (Judgement::new(confidence, false), format!("{self}: {why}: {event}"));
        if !self.causes.is_empty() {
            let cause = verdict["cause"].as_str().unwrap_or("no verdict");
            if !self.causes.contains(&cause) {
                return wrong(format!("it was told as {cause}"));
            }
            if confidence > self.at_most {
                return wrong(format!("{confidence} is too sure"));
            }
        }
        if let Some(words) = self.says.iter().find(|words| !summary.contains(*words)) {
            return wrong(format!("it does not say \"{words}\""));
        }
        if let Some(words) = self.never_says.iter().find(|words| summary.contains(*words)) {
            return wrong(format!("it says \"{words}\""));
        }
        if let Some((comm, pid)) = &self.owner
            && (event["owner"]["comm"] != *comm || event["owner"]["pid"] != *pid)
        {
            return wrong(format!("its owner is not {comm}[{pid}]"));
        }
        if let Some((name, value)) = self.fields.iter().find(|(name, value)| event[name] != *value) {
            return wrong(format!("its {name} is not {value}"));
        }
        (Judgement::new(confidence, true), String::new())
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.direction.unwrap_or_default(), self.event)?;
        for end in [self.local, self.remote].into_iter().flatten() {
            write!(f, " {end}")?;
        }
        write!(f, " ({})", self.causes.join(" or "))
    }
}
