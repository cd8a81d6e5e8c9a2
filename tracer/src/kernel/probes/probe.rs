//! The logical events that there are to observe, and all that there is to say of each but how it is observed.

use std::collections::BTreeSet;

use crate::event::Kind;

/// A logical event that the tracer wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Probe {
    /// A socket's state changes.
    State,
    /// A RST is sent as an answer to a segment.
    RstSentPassive,
    /// A RST is sent to abort a connection.
    RstSentActive,
    /// A RST is sent by a packet filter.
    RstFirewall,
    /// A RST resets a socket.
    RstReceived,
    /// A RST comes that resets no socket.
    RstStray,
    /// A handshake's last ACK finds the accept queue full.
    AcceptQueue,
    /// The established hash is searched.
    LookupEhash,
    /// The listeners are searched.
    LookupListener,
    /// A TCP segment leaves through a raw or packet socket.
    RawSend,
    /// A process accepts a connection.
    Accept,
    /// A process has had a socket since before the trace.
    Existing,
    /// A socket is destroyed.
    Release,
    /// A process that is traced starts another, or ends.
    Descent,
    /// A process that has sockets ends, or gets a signal that may end it.
    End,
    /// A segment comes for a connection: what RSTs are compared with.
    Baseline,
}

impl Probe {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 16] = [
        Self::State,
        Self::RstSentPassive,
        Self::RstSentActive,
        Self::RstFirewall,
        Self::RstReceived,
        Self::RstStray,
        Self::AcceptQueue,
        Self::LookupEhash,
        Self::LookupListener,
        Self::RawSend,
        Self::Accept,
        Self::Existing,
        Self::Release,
        Self::Descent,
        Self::End,
        Self::Baseline,
    ];

    /// What there is to say of it.
    const fn about(self) -> About {
        match self {
            Self::State => About {
                name: "state",
                title: "state change",
                kinds: OF_SOCKETS,
                role: Role::Essential,
                loss: UNREPORTED,
                without: "nothing is reported without it: a kernel with BPF tracing (CONFIG_BPF_EVENTS) has it",
            },
            Self::RstSentPassive => About {
                name: "rst_sent_passive",
                title: "RST sent, passive",
                kinds: &[Kind::Rst],
                role: Role::Essential,
                loss: UNREPORTED,
                without: "these RSTs are not reported; Linux 6.10 or later reports them, and so does a kernel with \
                    fentry or kprobes (CONFIG_KPROBE_EVENTS). `nstat -az TcpOutRsts` counts them",
            },
            Self::RstSentActive => About {
                name: "rst_sent_active",
                title: "RST sent, active",
                kinds: &[Kind::Rst],
                role: Role::Essential,
                loss: UNREPORTED,
                without: "these RSTs are not reported; Linux 6.10 or later reports them, and so does a kernel with \
                    fentry or kprobes (CONFIG_KPROBE_EVENTS). `nstat -az TcpOutRsts` counts them",
            },
            Self::RstFirewall => About {
                name: "rst_firewall",
                title: "RST by a firewall",
                kinds: &[Kind::Rst],
                role: Role::Optional,
                loss: UNREPORTED,
                without: "a RST that a rule of this host sends (REJECT) is not reported as sent; the rules' own \
                    counters tell of it (`nft list ruleset`, `iptables -nvL`)",
            },
            Self::RstReceived => About {
                name: "rst_received",
                title: "RST received",
                // Which way the RST went that ended a connection; and what did reset a socket is no stray one.
                kinds: &[Kind::Rst, Kind::Close, Kind::Stray],
                role: Role::Essential,
                loss: UNREPORTED,
                without: "these RSTs are not reported; a capture shows them (`tcpdump 'tcp[tcpflags] & tcp-rst != \
                    0'`), and `nstat -az TcpEstabResets` counts some",
            },
            Self::RstStray => About {
                name: "rst_stray",
                title: "stray RST",
                kinds: &[Kind::Stray],
                role: Role::Optional,
                loss: UNREPORTED,
                without: "RSTs that the kernel ignores are not reported; a capture shows them",
            },
            Self::AcceptQueue => About {
                name: "accept_queue",
                title: "accept queue full",
                kinds: &[Kind::Overflow],
                role: Role::Optional,
                loss: UNREPORTED,
                without: "a listener's full queue is not reported; `nstat -az TcpExtListenOverflows \
                    TcpExtListenDrops` counts what was dropped, and `ss -ltn` shows the queues",
            },
            Self::LookupEhash => About {
                name: "lookup_ehash",
                title: "ehash lookup",
                kinds: &[Kind::Lookup],
                role: Role::Optional,
                loss: UNREPORTED,
                without: "`-e lookup` reports nothing of it; a kernel with fexit or kprobes (CONFIG_KPROBE_EVENTS) \
                    lets us observe it",
            },
            Self::LookupListener => About {
                name: "lookup_listener",
                title: "listener lookup",
                kinds: &[Kind::Lookup],
                role: Role::Optional,
                loss: UNREPORTED,
                without: "`-e lookup` reports nothing of it; a kernel with fexit or kprobes (CONFIG_KPROBE_EVENTS) \
                    lets us observe it",
            },
            Self::RawSend => About {
                name: "raw_send",
                title: "raw or packet send",
                kinds: &[Kind::Raw],
                role: Role::Optional,
                loss: UNREPORTED,
                without: "segments sent through raw and packet sockets are not reported; a capture shows them",
            },
            Self::Accept => About {
                name: "accept",
                title: "accept() owner",
                kinds: OF_SOCKETS,
                role: Role::Auxiliary,
                loss: "not observed: accepted connections are attributed to the listener's process until their own \
                    makes a call",
                without: "a connection that came to a listener is told to be the listener's process's",
            },
            Self::Existing => About {
                name: "existing",
                title: "pre-existing sockets",
                kinds: OF_SOCKETS,
                role: Role::Auxiliary,
                loss: "not observed: sockets opened before the trace have no owner until their process makes a call",
                without: "whose the sockets are that exist already is not known: start the trace before the processes",
            },
            Self::Release => About {
                name: "release",
                title: "socket destroyed",
                kinds: OF_SOCKETS,
                role: Role::Auxiliary,
                loss: "not observed: state kept for a socket may outlive it",
                without: "what is remembered of a socket is kept after its end: give the trace more room (`--sockets`)",
            },
            Self::Descent => About {
                name: "descent",
                title: "fork and exit",
                kinds: &[],
                role: Role::Auxiliary,
                loss: "not observed: children are not followed, and process exits are missed",
                without: "`--follow` does not find children",
            },
            Self::End => About {
                name: "process_end",
                title: "process end",
                kinds: WITH_VERDICTS,
                role: Role::Auxiliary,
                loss: "not observed: kills are inferred from what a process closes, and the sender of the signal is \
                    unknown",
                without: "how a process ended is not told: `dmesg` and the service manager's log do",
            },
            Self::Baseline => About {
                name: "baseline",
                title: "per-segment baseline",
                kinds: &[],
                role: Role::Auxiliary,
                loss: "not observed: RSTs are not compared with the segments of their connection",
                without: "`--baseline` finds no earlier segments to compare a RST with",
            },
        }
    }

    /// Its key in JSON.
    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// What `doctor` calls it.
    pub fn title(self) -> &'static str {
        self.about().title
    }

    /// It is not reported itself, but tells more of what is.
    pub fn is_auxiliary(self) -> bool {
        self.about().role == Role::Auxiliary
    }

    /// Without it `trace` is not what it says; a firewall's RSTs need a kprobe and a module.
    pub fn is_essential(self) -> bool {
        self.about().role == Role::Essential
    }

    /// What follows from not observing it.
    pub(super) fn loss(self) -> &'static str {
        self.about().loss
    }

    /// What is lost where nothing observes it, and what to do then.
    pub fn without(self) -> &'static str {
        self.about().without
    }
}

/// What has to be observed for all of `kinds`.
pub fn needed(kinds: &BTreeSet<Kind>) -> BTreeSet<Probe> {
    let is_needed = |probe: &Probe| probe.about().kinds.iter().any(|kind| kinds.contains(kind));
    Probe::ALL.into_iter().filter(is_needed).collect()
}

/// See the methods of these names.
struct About {
    name: &'static str,
    title: &'static str,
    /// The kinds of events that it is observed for. What no kind asks for, other options do.
    kinds: &'static [Kind],
    role: Role,
    loss: &'static str,
    without: &'static str,
}

/// What it is for.
#[derive(PartialEq, Eq)]
enum Role {
    Essential,
    Optional,
    Auxiliary,
}

/// Kinds of events that have a TCP socket: state changes tell whose a socket is and what it went through.
const OF_SOCKETS: &[Kind] =
    &[Kind::State, Kind::Rst, Kind::Stray, Kind::Open, Kind::Close, Kind::Lookup, Kind::Overflow];

/// Kinds of events of which it is asked why they happened.
const WITH_VERDICTS: &[Kind] = &[Kind::Rst, Kind::Stray, Kind::Close];

/// The loss of an event that is reported itself.
const UNREPORTED: &str = "not observed, so not reported";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_observed_by_what_reports_it() {
        for kind in Kind::ALL {
            let probes = needed(&[kind].into());
            assert!(probes.iter().any(|probe| !probe.is_auxiliary()), "{kind:?}: {probes:?}");
        }
    }

    #[test]
    fn what_has_no_socket_needs_no_state_changes() {
        assert_eq!(needed(&[Kind::Raw].into()), [Probe::RawSend].into());
        let close = [Probe::State, Probe::RstReceived, Probe::Accept, Probe::Existing, Probe::Release, Probe::End];
        assert_eq!(needed(&[Kind::Close].into()), close.into());
    }
}
