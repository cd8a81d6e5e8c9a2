//! A RST with all that is known about it, and the questions that rules ask.

pub(super) use super::actor::name;
use super::{Confidence, Evidence, Finding};
use crate::event::{Baseline, Circumstances, Event, Flags, Owner, Past, Rst, RstKind, Segment, Shared, TcpState};

/// A process that was seen to send a segment by itself, through a raw or packet socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Who.
    pub owner: Option<Shared<Owner>>,
    /// What.
    pub segment: Segment,
}

/// Another RST of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// How long before it came, in nanoseconds.
    pub ns: u64,
    /// It was for the same connection, and both go beyond what is expected, for certain.
    pub is_same: bool,
}

/// A RST to explain.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The event.
    pub event: &'a Event,
    /// What it carries.
    pub rst: &'a Rst,
    /// Who has sent a segment of these two ends by itself, from this host.
    pub raw_sender: Option<&'a Sender>,
    /// Who has sent the segment that provoked it by itself, on this host.
    pub prober: Option<&'a Sender>,
    /// Who has sent the RST that came by itself, from this host.
    pub injector: Option<&'a Sender>,
    /// It would have been seen if a kernel of this host had sent it.
    pub sees_sent: bool,
    /// Another RST with a lower sequence number came from the same end just before.
    pub earlier: Option<Earlier>,
    /// For how long everything had been observed before, in nanoseconds.
    pub watched_ns: u64,
}

/// How long the trace must have run for what it did not see to be taken for what was not there.
const LONG_NS: u64 = 1_000_000_000;

impl Case<'_> {
    /// An answer to a segment.
    pub(super) fn is_passive(&self) -> bool {
        self.rst.kind == RstKind::Passive
    }

    /// This side's abort.
    pub(super) fn is_active(&self) -> bool {
        self.rst.kind == RstKind::Active
    }

    /// It came.
    pub(super) fn is_received(&self) -> bool {
        self.rst.kind == RstKind::Peer
    }

    /// It came, and reset no socket.
    pub(super) fn is_stray(&self) -> bool {
        self.rst.kind == RstKind::Stray
    }

    /// An answer to a segment for which there was no socket.
    pub(super) fn is_without_socket(&self) -> bool {
        self.is_passive() && !self.rst.socket
    }

    /// The kernel's reason, or the one inferred from the call stack.
    pub(super) fn reason(&self) -> &str {
        self.rst.reason.as_deref().or(self.rst.derived_reason).unwrap_or_default()
    }

    /// A segment, no SYN, that found no connection: neither a socket, nor more than a listener on its port, which
    /// is what a server leaves when it has closed a connection.
    pub(super) fn is_without_connection(&self) -> bool {
        // From tcp_check_req it is a handshake's.
        let by_listener = self.answers_in(&[TcpState::LISTEN]) && self.reason() != "INVALID_SYN";
        (self.is_without_socket() || by_listener) && !self.answers_syn()
    }

    /// The socket's state; of one that was closed just before, the state before.
    pub(super) fn state(&self) -> Option<TcpState> {
        super::reason::state(self.rst)
    }

    /// An answer to a segment of a socket in one of these states; some segments close it first.
    pub(super) fn answers_in(&self, states: &[TcpState]) -> bool {
        self.is_passive() && self.rst.socket && self.state().is_some_and(|state| states.contains(&state))
    }

    /// Bytes that came and that the process has not read.
    pub(super) fn unread(&self) -> u32 {
        let unread = self.circumstances().unread;
        // A FIN takes a sequence number, and is no data.
        let closed_by_peer = [TcpState::CLOSE_WAIT, TcpState::LAST_ACK, TcpState::CLOSING];
        let has_fin = self.state().is_some_and(|state| closed_by_peer.contains(&state));
        unread.saturating_sub(u32::from(has_fin))
    }

    /// One of the functions is on the stack, see [`super::reason::is_from`].
    pub(super) fn is_from(&self, functions: &[&str]) -> bool {
        super::reason::is_from(self.rst, functions)
    }

    /// The segment that provoked it has all of these flags.
    pub(super) fn trigger_has(&self, flags: Flags) -> bool {
        self.rst.trigger.is_some_and(|trigger| trigger.flags.contains(flags))
    }

    /// The segment that provoked it is a SYN, not a SYN+ACK.
    pub(super) fn answers_syn(&self) -> bool {
        self.trigger_has(Flags::SYN) && !self.trigger_has(Flags::ACK)
    }

    pub(super) fn circumstances(&self) -> Circumstances {
        self.rst.circumstances.clone().unwrap_or_default()
    }

    /// The socket that had these ends last, if the segment may be of its connection: ports are used again.
    pub(super) fn past(&self) -> Option<&Past> {
        let may_be_its = |past: &&Past| {
            !past.numbers.are_known() || self.rst.trigger.is_none_or(|segment| past.numbers.fit(&segment))
        };
        self.rst.past.as_ref().filter(may_be_its)
    }

    /// Where another namespace is, if it is another.
    pub(super) fn place(&self, netns: u32) -> String {
        if self.event.netns == Some(netns) { String::new() } else { format!(" in netns {netns}") }
    }

    /// The verdict rests on nothing having been seen before: for a trace that has hardly begun it is a guess.
    pub(super) fn by_absence(&self, finding: Finding) -> Finding {
        let finding = finding.inferred(format!("the trace had run for {} by then", duration(self.watched_ns)));
        match self.watched_ns < LONG_NS {
            true => Finding { confidence: Confidence::Possible, ..finding },
            false => finding,
        }
    }

    /// `nginx[812]`, or `an unknown process`.
    pub(super) fn owner(&self) -> String {
        name(self.event.owner.as_deref())
    }

    /// The owner, or the last one of a socket that may be forgotten, see [`Event::last_owner`].
    pub(super) fn last_owner(&self) -> String {
        name(self.event.last_owner())
    }

    /// The RST that came, and what it can be compared with.
    fn compared(&self) -> Option<(Segment, Baseline)> {
        self.rst.trigger.zip(self.rst.baseline).filter(|_| self.is_received() || self.is_stray())
    }

    /// By how many hops the RST is off every segment before, nearer or farther.
    pub(super) fn hops_off(&self) -> u8 {
        self.compared().map_or(0, |(rst, baseline)| {
            baseline.ttl_low.saturating_sub(rst.ttl).max(rst.ttl.saturating_sub(baseline.ttl_high))
        })
    }

    /// What every verdict rests on.
    pub(super) fn observations(&self) -> Vec<Evidence> {
        let mut all = Vec::new();
        let mut add = |text: String| all.push(Evidence { text, inferred: false });
        if let Some(reason) = &self.rst.reason {
            add(match self.is_stray() {
                true => format!("the kernel dropped it as {reason}"),
                false => format!("the kernel's reason is {reason}"),
            });
        }
        if let Some(trigger) = self.rst.trigger {
            let what = if self.is_received() || self.is_stray() { "the RST was" } else { "it answers" };
            add(format!("{what} {} seq {} ack {} len {}", trigger.flags, trigger.seq, trigger.ack, trigger.len));
        }
        if let Some((rst, baseline)) = self.compared() {
            let ttl = range(baseline.ttl_low, baseline.ttl_high);
            add(format!("its TTL is {}, that of the {} segments before was {ttl}", rst.ttl, baseline.segments));
            if let (Some(own), Some(last)) = (rst.ip_id, baseline.ip_id) {
                add(format!("its IP-ID is {own}, that of the last segment was {last}"));
            }
            add(format!(
                "its window is {}, theirs was {}",
                rst.window,
                range(baseline.window_low, baseline.window_high)
            ));
        }
        match self.state() {
            Some(state) => add(format!("the socket was in {state}")),
            None if self.is_passive() && !self.rst.socket => add("no socket matched it".to_owned()),
            None => {}
        }
        if self.rst.reason.is_none()
            && let Some(reason) = self.rst.derived_reason
        {
            all.push(Evidence {
                text: format!("this kernel names no reason: inferred reason {reason} from the call stack"),
                inferred: true,
            });
        }
        all
    }
}

/// `1 SYN`, `2 SYNs`.
pub(super) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `64`, `52 to 64`.
fn range<T: Copy + PartialEq + std::fmt::Display>(low: T, high: T) -> String {
    if low == high { low.to_string() } else { format!("{low} to {high}") }
}

/// `1.8 s`, `120 ms`.
pub(super) fn duration(ns: u64) -> String {
    match ns {
        10_000_000_000.. => format!("{} s", ns / 1_000_000_000),
        1_000_000_000.. => format!("{:.1} s", ns as f64 / 1e9),
        1_000_000.. => format!("{} ms", ns / 1_000_000),
        _ => format!("{} us", ns / 1000),
    }
}
