//! Diagnoses RSTs as they come, in order, with what earlier and following events tell of them.

use std::{collections::VecDeque, net::SocketAddr, num::NonZeroUsize, sync::Arc};

use arrayvec::ArrayVec;
use lru::LruCache;

use super::{Case, Sender, Verdict, deaths, diagnose};
use crate::event::{Body, Direction, Event, Flags, Rst, RstKind, TcpState};

/// How long a RST that came may wait for the event of its sending, if that was on this host: an abort is
/// reported after it was sent (tcp_send_active_reset in net/ipv4/tcp_output.c).
const AFTER_NS: u64 = 10_000_000;
/// The same where it was sent on this host for certain, and how long what may be no RST waits for the answer that
/// shows it. Both happen at once, but an interrupt, or a hypervisor, may come between them.
const SURELY_NS: u64 = 50_000_000;
/// How long a RST that was sent may be on its way within this host.
const BEFORE_NS: u64 = 1_000_000_000;

/// How long after another a RST of the same series may come.
const SERIES_NS: u64 = 1_000_000_000;
/// RSTs that are remembered of two ends.
const SERIES: usize = 4;

/// When RSTs came, and with which sequence number; the last one first.
type Series = ArrayVec<(u64, u32), SERIES>;

/// Two ends, as their sender sees them. A RST crosses network namespaces, so they have none.
type Ends = (SocketAddr, SocketAddr);

/// A RST that was sent.
struct Sent {
    mono_ns: u64,
    netns: Option<u32>,
    netns_name: Option<Arc<str>>,
    verdict: Verdict,
}

/// RSTs that came and raw sends that are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(8192).unwrap();
/// RSTs that were sent and are remembered. Each with its verdict takes most of a kilobyte, and most arrive at once.
const SENT: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Gives each RST, and each death without one, its verdict.
pub struct Diagnoser {
    /// Events that wait for a RST before them.
    queue: VecDeque<Event>,
    /// RSTs that were sent.
    sent: LruCache<Ends, Sent>,
    /// Segments that processes sent by themselves.
    raw: LruCache<Ends, (u64, Sender)>,
    /// RSTs that came, by the ends as this host sees them.
    came: LruCache<Ends, Series>,
    /// Time of the last event.
    latest: u64,
}

impl Default for Diagnoser {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            sent: LruCache::new(SENT),
            raw: LruCache::new(REMEMBERED),
            came: LruCache::new(REMEMBERED),
            latest: 0,
        }
    }
}

impl Diagnoser {
    /// The next event. What only looks as if a RST had come is dropped.
    pub fn push(&mut self, mut event: Event) {
        self.latest = self.latest.max(event.mono_ns);
        match &event.body {
            Body::RawSend(send) => {
                let sender = Sender { owner: event.owner.clone(), segment: send.segment };
                self.raw.put((event.local, event.remote), (event.mono_ns, sender));
            }
            Body::Rst(rst) if rst.direction == Direction::Sent => {
                if rst.kind == RstKind::Passive {
                    self.forget_own(&event);
                }
                let verdict = self.verdict(&event);
                if let Some(verdict) = verdict.clone() {
                    let Event { mono_ns, netns, ref netns_name, .. } = event;
                    let sent = Sent { mono_ns, netns, netns_name: netns_name.clone(), verdict };
                    self.sent.put((event.local, event.remote), sent);
                }
                set(&mut event, verdict);
            }
            Body::Rst(rst) => self.note(&event, rst),
            Body::StrayRst(rst) => {
                self.note(&event, rst);
                let verdict = self.verdict(&event);
                set(&mut event, verdict);
            }
            Body::Close(close) => {
                let verdict = deaths::diagnose(&event, close);
                set(&mut event, verdict);
            }
            _ => {}
        }
        self.queue.push_back(event);
    }

    /// Remembers a RST that came.
    fn note(&mut self, event: &Event, rst: &Rst) {
        let Some(seq) = sequence(rst) else { return };
        let series = self.came.get_or_insert_mut((event.local, event.remote), Series::new);
        series.truncate(SERIES - 1);
        series.insert(0, (event.mono_ns, seq));
    }

    /// All events up to this time, on `CLOCK_MONOTONIC` in nanoseconds, have come.
    pub fn reach(&mut self, mono_ns: u64) {
        self.latest = self.latest.max(mono_ns);
    }

    /// The next event that has all that there will be of it.
    pub fn pop(&mut self) -> Option<Event> {
        let first = self.queue.front()?;
        let is_received = matches!(&first.body, Body::Rst(rst) if rst.direction == Direction::Received);
        let patience = if may_be_own(first) || is_within_host(first) { SURELY_NS } else { AFTER_NS };
        if is_received && self.sent_here(first).is_none() && self.latest < first.mono_ns + patience {
            return None;
        }
        let mut event = self.queue.pop_front()?;
        if is_received {
            let verdict = self.verdict_on_received(&event);
            set(&mut event, verdict);
        }
        Some(event)
    }

    /// How many events wait to be popped.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// An answer to data that came after close() shows that what was reported of the same socket just before
    /// was not a RST, see [`may_be_own`]: none is ever answered with a RST.
    fn forget_own(&mut self, answer: &Event) {
        let is_own = |event: &Event| {
            event.sock == answer.sock
                && (event.local, event.remote) == (answer.local, answer.remote)
                && may_be_own(event)
        };
        let recent = |event: &&Event| answer.mono_ns < event.mono_ns + SURELY_NS;
        let behind = self.queue.iter().rev().take_while(recent).position(is_own);
        if let Some(behind) = behind.filter(|_| answer.sock != 0) {
            self.queue.remove(self.queue.len() - 1 - behind);
        }
    }

    /// The RST that came, as it was sent on this host.
    fn sent_here(&self, event: &Event) -> Option<&Sent> {
        let sent = self.sent.peek(&(event.remote, event.local))?;
        (event.mono_ns.abs_diff(sent.mono_ns) < BEFORE_NS).then_some(sent)
    }

    fn verdict_on_received(&self, event: &Event) -> Option<Verdict> {
        match self.sent_here(event) {
            Some(sent) => {
                let place = match (sent.netns, &sent.netns_name) {
                    (netns, _) if netns == event.netns => String::new(),
                    (_, Some(name)) => format!(", in network namespace {name}"),
                    (Some(inode), None) => format!(", in network namespace {inode}"),
                    (None, None) => String::new(),
                };
                let summary = format!("the other end is on this host{place}: {}", sent.verdict.summary);
                Some(Verdict { summary: summary.into(), of_peer: true, ..sent.verdict.clone() })
            }
            None => self.verdict(event),
        }
    }

    /// How long before this RST another one with a lower number came.
    fn earlier(&self, event: &Event, rst: &Rst) -> Option<u64> {
        let seq = sequence(rst)?;
        let series = self.came.peek(&(event.local, event.remote))?;
        let is_below = |other: u32| (1..1 << 31).contains(&seq.wrapping_sub(other));
        let ago = |(time, other): &(u64, u32)| event.mono_ns.checked_sub(*time).filter(|_| is_below(*other));
        series.iter().filter_map(ago).find(|ago| *ago < SERIES_NS)
    }

    fn verdict(&self, event: &Event) -> Option<Verdict> {
        let rst = event.rst()?;
        let injector = self.raw.peek(&(event.remote, event.local)).filter(|(time, sender)| {
            let is_under_way = event.mono_ns.abs_diff(*time) < BEFORE_NS;
            is_under_way && sender.segment.flags.contains(Flags::RST)
        });
        diagnose(&Case {
            event,
            rst,
            raw_sender: self.raw.peek(&(event.local, event.remote)).map(|(_, sender)| sender),
            injector: injector.map(|(_, sender)| sender),
            earlier_ns: self.earlier(event, rst),
        })
    }
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

/// The sequence number of a RST that came. Where the segment is not seen: only what is expected next resets (RFC
/// 5961, section 3.2), but for a SYN's answer.
fn sequence(rst: &Rst) -> Option<u32> {
    let expected = || rst.circumstances.as_ref().map(|circumstances| circumstances.rcv_nxt);
    rst.trigger
        .map(|trigger| trigger.seq)
        .or_else(|| expected().filter(|_| rst.socket_state != Some(TcpState::SYN_SENT)))
}

fn set(event: &mut Event, verdict: Option<Verdict>) {
    match &mut event.body {
        Body::Rst(rst) | Body::StrayRst(rst) => rst.verdict = verdict,
        Body::Close(close) => close.verdict = verdict,
        _ => {}
    }
}

#[cfg(test)]
mod tests;
