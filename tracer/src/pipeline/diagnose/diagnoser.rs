//! Diagnoses RSTs as they come, in order, with what earlier and following events tell of them.

use std::{net::SocketAddr, num::NonZeroUsize};

use lru::LruCache;

use super::{
    Case, Confidence, Evidence, Verdict, Watch, deaths, diagnose,
    join::{self, Join, Joins, RawSends, Series},
    queue,
    sight::Sight,
    waiting::Waiting,
};
use crate::event::{Body, Direction, End, Event, RstKind, TcpState};

/// How long a RST that came may wait for the event of its sending, if that was on this host: an abort is
/// reported after it was sent (tcp_send_active_reset in net/ipv4/tcp_output.c).
const AFTER_NS: u64 = 10_000_000;
/// How long a received RST waits for its sending if it was certainly sent on this host, and how long what may be no RST
/// waits for the answer that shows it. Both happen at once, but an interrupt, or a hypervisor, may come between them.
pub const SURELY_NS: u64 = join::AFTER_NS;
/// How much earlier than its sending the coming of a RST is reported, and how many events may lie between.
const BEFORE_NS: u64 = 1_000_000;
const BEFORE: usize = 64;

/// Sockets that are remembered until their close follows, which is at once.
const OWN: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Gives each RST, and each death without one, its verdict.
#[derive(Default)]
pub struct Diagnoser {
    /// Events that wait for a RST before them.
    queue: Waiting,
    /// RSTs that were sent.
    sent: Joins,
    /// Segments that processes sent by themselves.
    raw: RawSends,
    /// RSTs that came.
    came: Series,
    /// Sockets that were reset by what may have been no RST, see [`may_be_own`].
    own: Own,
    /// Whether what was not seen was not there.
    sight: Sight,
    /// Time of the last event.
    latest: u64,
    /// Listeners whose accept queues were full.
    queues: queue::Queues,
    /// When everything was observed.
    watch: Watch,
    /// Events from before that and after it.
    unreported: u64,
}

/// By their addresses.
struct Own(LruCache<u64, OwnReset>);

/// What may have been no RST.
struct OwnReset {
    /// The event's place among those that wait.
    number: u64,
    mono_ns: u64,
    ends: (SocketAddr, SocketAddr),
    /// The close of the socket was reported.
    has_closed: bool,
}

impl Default for Own {
    fn default() -> Self {
        Self(LruCache::new(OWN))
    }
}

impl Diagnoser {
    /// For events that were observed in that time, and for those around it.
    pub fn new(watch: Watch) -> Self {
        Self { watch, ..Self::default() }
    }

    /// What happens from then on is not reported any more.
    pub fn stop(&mut self, mono_ns: u64) {
        self.watch.stop(mono_ns);
    }

    /// It is one of those that are reported.
    pub fn reports(&self, event: &Event) -> bool {
        self.watch.covers(event)
    }

    /// All that is reported has what there will be of it.
    pub fn is_done(&self) -> bool {
        self.watch.is_over_at(self.latest) && self.queue.front().is_none_or(|first| !self.reports(first))
    }

    /// The next event. What only looks as if a RST had come is dropped.
    pub fn push(&mut self, mut event: Event) {
        self.latest = self.latest.max(event.mono_ns);
        if matches!(event.body, Body::Close(_))
            && let Some(own) = self.own.0.get_mut(&event.sock)
            && !std::mem::replace(&mut own.has_closed, true)
        {
            turn(&mut event);
        }
        match &event.body {
            Body::RawSend(send) => self.raw.add(&event, send),
            Body::Rst(rst) if rst.direction == Direction::Sent => {
                if rst.kind == RstKind::Passive {
                    self.forget_own(&event);
                }
                let verdict = self.verdict(&event);
                if let Some(verdict) = &verdict {
                    self.sent.add(&event, rst, verdict);
                }
                set(&mut event, verdict);
                return self.insert(event);
            }
            Body::Rst(rst) | Body::StrayRst(rst) => {
                self.came.add(&event, rst);
                if may_be_own(&event) {
                    let (sock, mono_ns, ends) = (event.sock, event.mono_ns, (event.local, event.remote));
                    let number = self.queue.push(event);
                    self.own.0.put(sock, OwnReset { number, mono_ns, ends, has_closed: false });
                    return;
                }
            }
            Body::Overflow(overflow) => {
                let verdict = queue::diagnose(&event, overflow);
                self.queues.note(&event);
                set(&mut event, Some(verdict));
            }
            Body::Close(close) => {
                let verdict = deaths::diagnose(&event, close, &self.watch);
                let verdict = verdict.map(|verdict| self.queues.explain(&event, verdict));
                set(&mut event, verdict);
            }
            _ => {}
        }
        self.queue.push(event);
    }

    /// Puts a RST that was sent before itself as one that came: an abort is reported after it was sent.
    fn insert(&mut self, event: Event) {
        let Self { queue, sent, .. } = self;
        let (mono_ns, local, remote) = (event.mono_ns, event.local, event.remote);
        queue.insert_before(event, BEFORE, |came| {
            let is_recent = mono_ns.saturating_sub(came.mono_ns) < BEFORE_NS;
            let is_it = || is_coming(came) && sent.find(came).is_some_and(|join| join.is_of(mono_ns, local, remote));
            is_recent.then(is_it)
        });
    }

    /// RSTs that this host sends are not all reported: a filter leaves some out, or no probe sees them.
    pub fn misses_sent(&mut self) {
        self.sight.misses_sent();
    }

    /// Events were lost up to this time, on `CLOCK_MONOTONIC` in nanoseconds.
    pub fn lose(&mut self, mono_ns: u64) {
        self.sight.lose(mono_ns);
    }

    /// All events up to this time, on `CLOCK_MONOTONIC` in nanoseconds, have come.
    pub fn reach(&mut self, mono_ns: u64) {
        self.latest = self.latest.max(mono_ns);
    }

    /// The next event that is reported and has all that there will be of it.
    pub fn pop(&mut self) -> Option<Event> {
        loop {
            let event = self.pop_any()?;
            if self.reports(&event) {
                return Some(event);
            }
            self.unreported += 1;
        }
    }

    fn pop_any(&mut self) -> Option<Event> {
        let first = self.queue.front()?;
        if !is_coming(first) {
            return self.queue.pop();
        }
        let patience = if may_be_own(first) || is_within_host(first) { SURELY_NS } else { AFTER_NS };
        let join = self.sent.find(first);
        // A better one may follow.
        let is_early =
            join.as_ref().is_none_or(|join| !join.is_sure()) && self.latest < first.mono_ns.saturating_add(patience);
        if is_early && !self.queue.is_full() {
            return None;
        }
        let mut event = self.queue.pop()?;
        let verdict = self.verdict_on_coming(&event, join, is_early);
        set(&mut event, verdict);
        Some(event)
    }

    /// Events that only explained others since this was asked last, because not everything was observed then.
    pub fn take_unreported(&mut self) -> u64 {
        std::mem::take(&mut self.unreported)
    }

    /// How many events wait to be popped.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// An answer to data that came after close() shows that what was reported of the same socket just before
    /// was not a RST, see [`may_be_own`]: none is ever answered with a RST.
    fn forget_own(&mut self, answer: &Event) {
        // Most answers are to nobody's segments.
        if answer.sock != 0
            && let Some(own) = self.own.0.peek(&answer.sock)
            && own.ends == (answer.local, answer.remote)
            && answer.mono_ns.saturating_sub(own.mono_ns) < SURELY_NS
        {
            self.queue.remove(own.number);
        }
    }

    /// `is_early`: what explains it may still come, but there is no room to wait for it.
    fn verdict_on_coming(&self, event: &Event, join: Option<Join>, is_early: bool) -> Option<Verdict> {
        let is_stray = matches!(event.body, Body::StrayRst(_));
        let sees_sent = !is_early && self.sight.sees_sent(event);
        match join {
            Some(join) => {
                let own = if is_stray { self.verdict_if(event, sees_sent) } else { None };
                Some(join.verdict(event, own))
            }
            None => {
                let verdict = self.verdict_if(event, sees_sent)?;
                // Of what is certain more was seen than that nothing was.
                let is_unseen = verdict.confidence == Confidence::Likely && event.rst()?.peer.is_some();
                Some(match is_early {
                    true => doubt(verdict, NO_ROOM),
                    false if !self.watch.would_have_seen(event) => doubt(verdict, JUST_BEGUN),
                    false if is_unseen => doubt(verdict, NOT_SEEN),
                    false => verdict,
                })
            }
        }
    }

    fn verdict(&self, event: &Event) -> Option<Verdict> {
        self.verdict_if(event, self.sight.sees_sent(event))
    }

    /// `sees_sent`: what was not seen to be sent by this host was not.
    fn verdict_if(&self, event: &Event, sees_sent: bool) -> Option<Verdict> {
        let rst = event.rst()?;
        diagnose(&Case {
            event,
            rst,
            raw_sender: self.raw.speaker(event, rst),
            prober: self.raw.prober(event, rst),
            injector: self.raw.injector(event, rst),
            sees_sent,
            earlier: self.came.earlier(event, rst),
            watched_ns: self.watch.before(event),
        })
    }
}

/// Right after the last probe was attached, a RST that this host sent may have been too early for its own.
const JUST_BEGUN: &str =
    "the trace had just begun: a process of this host may have sent the RST before it was observed";
/// What it waited for may still have come.
const NO_ROOM: &str = "too many events came at once to wait for the RST's sending: it may have been on this host";

/// A program may be preempted, and the kernel does not start it for another task on that processor meanwhile (at
/// tracepoints since 7.0, __DECLARE_TRACE in include/linux/tracepoint.h).
const NOT_SEEN: &str =
    "the peer's socket is on this host, and that it sent the RST was not seen: it may have been missed";

/// What is not known may be the cause.
fn doubt(verdict: Verdict, why: &str) -> Verdict {
    let why = Evidence { text: why.to_owned(), inferred: true };
    let evidence = verdict.evidence.iter().cloned().chain([why]).collect();
    Verdict { confidence: Confidence::Possible, evidence, ..verdict }
}

/// A RST that came, stray or not: it may wait for the event of its sending.
fn is_coming(event: &Event) -> bool {
    event.rst().is_some_and(|rst| rst.direction == Direction::Received)
}

/// Both ends are certainly on this host.
fn is_within_host(event: &Event) -> bool {
    event.remote.ip() == event.local.ip() || event.remote.ip().is_loopback()
}

/// It looks as if a RST had come, and perhaps none has. Data that comes after close() makes the kernel reset the
/// socket as if by a RST, and then answer with one (tcp_rcv_state_process calls tcp_reset in
/// net/ipv4/tcp_input.c). Where the probe sees the segment, it sees the difference; a RST that came shows in the
/// stack, unless the function that takes it was inlined.
fn may_be_own(event: &Event) -> bool {
    let Body::Rst(rst) = &event.body else { return false };
    rst.direction == Direction::Received
        && rst.trigger.is_none()
        && super::reason::state(rst).is_some_and(TcpState::has_closed)
        && !rst.stack.iter().any(|function| function == "tcp_validate_incoming")
}

/// What ended it may have been data after close(): then the RST is the local side's.
fn turn(event: &mut Event) {
    if let Body::Close(close) = &mut event.body
        && close.ended_by == End::RstReceived
    {
        (close.ended_by, close.ended_by_observed) = (End::RstSent, false);
    }
}

fn set(event: &mut Event, verdict: Option<Verdict>) {
    match &mut event.body {
        Body::Rst(rst) | Body::StrayRst(rst) => rst.verdict = verdict,
        Body::Close(close) => close.verdict = verdict,
        Body::Overflow(overflow) => overflow.verdict = verdict,
        _ => {}
    }
}

#[cfg(test)]
mod tests;
