//! What can be observed and how: the probe plan ([`plan`]) and its outcome.

use std::fmt;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod plan;
mod probe;

pub use self::probe::{Probe, needed};

/// A way to observe something in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// BTF-typed tracepoint.
    TpBtf,
    /// Raw tracepoint.
    RawTp,
    /// Classic tracepoint.
    Tracepoint,
    /// Function entry by trampoline.
    Fentry,
    /// Function exit by trampoline.
    Fexit,
    /// Function entry by breakpoint or ftrace.
    Kprobe,
    /// Function entry and return.
    #[serde(rename = "kprobe+kretprobe")]
    KprobeKretprobe,
    /// A walk over all descriptors, once.
    #[serde(rename = "iterator")]
    Iter,
    /// The lookup run again from user space, after the fact.
    SockDiag,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TpBtf => "tp_btf",
            Self::RawTp => "raw_tp",
            Self::Tracepoint => "tracepoint",
            Self::Fentry => "fentry",
            Self::Fexit => "fexit",
            Self::Kprobe => "kprobe",
            Self::KprobeKretprobe => "kprobe+kretprobe",
            Self::Iter => "iterator",
            Self::SockDiag => "sock_diag",
        })
    }
}

/// Which mechanisms may be used: all, or one family of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProbeFamily {
    /// Best mechanism this kernel accepts
    Auto,
    /// Tracepoints of any kind
    Tp,
    /// Function entry and exit, by trampoline
    Fentry,
    /// Function entry and return, by kprobe
    Kprobe,
}

impl ProbeFamily {
    /// A mechanism belongs to this family. sock_diag is no probe, and open to all. What only tells more of
    /// other events ([`Probe::is_auxiliary`]) is not asked: the events are to be comparable.
    pub fn admits(self, mechanism: Mechanism) -> bool {
        use Mechanism as M;
        match self {
            Self::Auto => true,
            Self::Tp => matches!(mechanism, M::TpBtf | M::RawTp | M::Tracepoint | M::SockDiag),
            Self::Fentry => matches!(mechanism, M::Fentry | M::Fexit | M::SockDiag),
            Self::Kprobe => matches!(mechanism, M::Kprobe | M::KprobeKretprobe | M::SockDiag),
        }
    }
}

/// Where a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// BTF-typed tracepoint of that name.
    TpBtf(&'static str),
    /// Raw tracepoint of that name.
    RawTp(&'static str),
    /// Classic tracepoint: category and name.
    Tracepoint(&'static str, &'static str),
    /// Entry of that function.
    Fentry(&'static str),
    /// Exit of that function.
    Fexit(&'static str),
    /// Entry of that function.
    Kprobe(&'static str),
    /// Return of that function.
    Kretprobe(&'static str),
    /// Objects of that kind.
    Iter(&'static str),
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TpBtf(name)
            | Self::RawTp(name)
            | Self::Fentry(name)
            | Self::Fexit(name)
            | Self::Kprobe(name)
            | Self::Kretprobe(name)
            | Self::Iter(name) => f.write_str(name),
            Self::Tracepoint(category, name) => write!(f, "{category}:{name}"),
        }
    }
}

/// A program and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attachment {
    /// Name of the eBPF program.
    pub program: &'static str,
    /// Where it goes.
    pub hook: Hook,
}

/// One way to observe an event: all of its attachments together, or none.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// How it observes.
    pub mechanism: Mechanism,
    /// Its programs, or why this kernel's BTF rules it out.
    pub attachments: Result<Vec<Attachment>, String>,
    /// What cannot be seen this way.
    pub limitations: Vec<Limitation>,
}

/// Something that a mechanism does not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limitation {
    /// Cookies of sockets that nobody has asked for theirs yet.
    Cookie,
    /// The reset reason.
    Reason,
    /// The segment that a received RST is.
    Segment,
    /// The kernel's own lookups.
    Lookup,
    /// The socket that a stray RST was for.
    StraySocket,
    /// RSTs that are dropped without a trace.
    Untraced,
    /// The IPv6 twin of the function.
    Ipv6,
    /// What a module does that is not loaded.
    Unloaded,
    /// Whether the kernel sends the RST after all.
    Unsent,
    /// Packet sockets that go around the queueing discipline.
    Bypass,
    /// That a process has accepted a connection, until it takes data from it.
    Unread,
    /// The context, unless a kernel stack is captured per event.
    CheapContext,
}

impl Limitation {
    /// All of them, in the order of docs/limits.md.
    pub const ALL: [Self; 12] = [
        Self::Cookie,
        Self::Reason,
        Self::Segment,
        Self::Lookup,
        Self::StraySocket,
        Self::Untraced,
        Self::Ipv6,
        Self::Unloaded,
        Self::Unsent,
        Self::Bypass,
        Self::Unread,
        Self::CheapContext,
    ];

    /// The field of an event in JSON that may differ for it from what other mechanisms report.
    pub fn field(self) -> Option<&'static str> {
        match self {
            Self::Cookie => Some("cookie"),
            Self::Reason => Some("reason"),
            Self::Segment => Some("trigger"),
            Self::Lookup
            | Self::StraySocket
            | Self::Untraced
            | Self::Ipv6
            | Self::Unloaded
            | Self::Unsent
            | Self::Bypass
            | Self::Unread
            | Self::CheapContext => None,
        }
    }

    /// One sentence for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Cookie => "cookie missing unless already allocated",
            Self::Reason => "no reset reason (kernel functions pass one since 6.10)",
            Self::Segment => "does not see the RST's own flags, sequence numbers and TTL",
            Self::Lookup => "does not see the kernel's own lookups; the demo repeats one through sock_diag",
            Self::StraySocket => "does not see which socket a stray RST was for (the kernel passes it since 6.12)",
            Self::Untraced => "sees stray RSTs without a connection only, not those for one (before 5.17)",
            Self::Ipv6 => "does not see IPv6: this kernel lacks the IPv6 function",
            Self::Unloaded => "does not see modules loaded after the trace began",
            Self::Unsent => "may report a RST that the kernel then drops (MD5/AO failure, out of memory)",
            Self::Bypass => "does not see packet sockets using PACKET_QDISC_BYPASS",
            Self::Unread => {
                "attributes accepted connections to the listener's process, marked with ?, until a process reads or closes them"
            }
            Self::CheapContext => "captures a kernel stack per event (slower)",
        }
    }
}

/// How an event came to be observed, or not.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The event.
    pub probe: Probe,
    /// The way that works here, with its hooks.
    pub chosen: Option<(Mechanism, Vec<Hook>)>,
    /// What was tried before, and how the kernel refused.
    pub refused: Vec<(Mechanism, String)>,
    /// What cannot be seen the chosen way.
    pub limitations: Vec<Limitation>,
}

impl Outcome {
    /// One sentence for each thing that is not seen; if no way was found, that nothing is.
    pub fn degraded(&self) -> Vec<String> {
        match &self.chosen {
            Some(_) => self.limitations.iter().map(|limitations| limitations.text().to_owned()).collect(),
            None => vec![self.probe.loss().to_owned()],
        }
    }

    /// A probe sees the event itself.
    pub fn is_observed(&self) -> bool {
        self.chosen.as_ref().is_some_and(|(mechanism, _)| *mechanism != Mechanism::SockDiag)
    }
}
