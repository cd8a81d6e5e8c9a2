//! Which of the RSTs that this host sent is the one that came to it: both ends of a connection may be here.
//!
//! A connection is known by its namespace, its ends and its lifetime. The ends alone are not enough: every namespace
//! has the same loopback addresses, containers may have the same others, and ports are used again. So the numbers in
//! the RST's header must agree, too; and where they do, ends may differ, as behind address translation.

use std::{net::SocketAddr, num::NonZeroUsize, rc::Rc, sync::Arc};

use arrayvec::ArrayVec;
use lru::LruCache;

pub(super) use self::raw::RawSends;
pub(super) use self::series::Series;
use self::wire::{Agreement, Numbers};
use super::{Confidence, Evidence, Verdict};
use crate::event::{Event, Rst, TcpState};

mod raw;
mod series;
#[cfg(test)]
mod tests;
mod wire;

/// How long a RST that was sent may be on its way within this host.
const UNDER_WAY_NS: u64 = 1_000_000_000;
/// How much later than its coming the sending of a RST may be reported: a hypervisor may come between the two.
pub(super) const AFTER_NS: u64 = 500_000_000;

/// RSTs that were sent and are remembered, each by up to four keys. With its verdict one takes most of a kilobyte, and
/// most arrive at once.
const KEYS: NonZeroUsize = NonZeroUsize::new(4 * 4096).unwrap();
/// RSTs with the same key.
const SAME: usize = 4;

/// A RST that was sent.
struct Sent {
    mono_ns: u64,
    netns: Option<u32>,
    netns_name: Option<Arc<str>>,
    local: SocketAddr,
    remote: SocketAddr,
    numbers: Numbers,
    verdict: Verdict,
    /// One that came was found to be this one. It may come twice; but where two were sent, each is one of two.
    is_found: std::cell::Cell<bool>,
}

/// What one may be found by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Ends(SocketAddr, SocketAddr),
    Seq(u32),
    Ack(u32),
}

/// The RSTs that were sent last.
pub(super) struct Joins {
    sent: LruCache<Key, ArrayVec<Rc<Sent>, SAME>>,
}

/// A RST that was sent, as the one that came.
pub(super) struct Join {
    sent: Rc<Sent>,
    /// Between the two, addresses were translated.
    is_translated: bool,
    agreement: Agreement,
    /// Nothing else can be it.
    is_sure: bool,
}

impl Default for Joins {
    fn default() -> Self {
        Self { sent: LruCache::new(KEYS) }
    }
}

impl Joins {
    /// Remembers a RST that was sent.
    pub(super) fn add(&mut self, event: &Event, rst: &Rst, verdict: &Verdict) {
        let sent = Rc::new(Sent {
            mono_ns: event.mono_ns,
            netns: event.netns,
            netns_name: event.netns_name.clone(),
            local: event.local,
            remote: event.remote,
            numbers: Numbers::of(rst),
            verdict: verdict.clone(),
            is_found: false.into(),
        });
        let seqs = sent.numbers.seqs.iter().filter(|seq| **seq != 0).map(|seq| Key::Seq(*seq));
        let keys: ArrayVec<Key, 4> =
            seqs.chain(sent.numbers.ack.map(Key::Ack)).chain([Key::Ends(sent.local, sent.remote)]).collect();
        for key in keys {
            let same = self.sent.get_or_insert_mut(key, ArrayVec::new);
            if same.is_full() {
                same.remove(0);
            }
            same.push(sent.clone());
        }
    }

    /// The one that is the RST that came, if it was sent on this host.
    pub(super) fn find(&self, event: &Event) -> Option<Join> {
        let rst = event.rst()?;
        let by = |key| self.sent.peek(&key).into_iter().flatten();
        let direct = by(Key::Ends(event.remote, event.local)).filter_map(|sent| Join::direct(sent, event, rst));
        let translated = keys(rst).into_iter().flat_map(by).filter_map(|sent| Join::translated(sent, event, rst));
        // The first of those that are as good.
        let first_best = |best: Join, other: Join| if other.rank() > best.rank() { other } else { best };
        direct.reduce(first_best).or_else(|| translated.reduce(first_best))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }
}

/// What a RST that came may be found by where addresses were translated.
fn keys(came: &Rst) -> ArrayVec<Key, 2> {
    let state = came.circumstances.as_ref().filter(|state| state.snd_nxt != 0);
    match (came.trigger, state) {
        (Some(segment), _) if segment.seq != 0 => [Key::Seq(segment.seq)].into_iter().collect(),
        (Some(segment), _) => [Key::Ack(segment.ack)].into_iter().collect(),
        (None, Some(state)) if came.socket_state == Some(TcpState::SYN_SENT) => {
            [Key::Ack(state.snd_nxt)].into_iter().collect()
        }
        (None, Some(state)) => [state.rcv_nxt, state.rcv_nxt.wrapping_sub(1)].map(Key::Seq).into_iter().collect(),
        (None, None) => ArrayVec::new(),
    }
}

/// What was sent then, or is reported so late, may be what came at another time.
fn is_under_way(sent_ns: u64, came_ns: u64) -> bool {
    sent_ns.saturating_sub(came_ns) < AFTER_NS && came_ns.saturating_sub(sent_ns) < UNDER_WAY_NS
}

/// What one end sends over loopback never leaves its namespace, which others have the same addresses in.
fn may_cross(local: SocketAddr, remote: SocketAddr) -> bool {
    !(local.ip().is_loopback() && remote.ip().is_loopback())
}

impl Join {
    /// Without anything between the two.
    fn direct(sent: &Rc<Sent>, event: &Event, rst: &Rst) -> Option<Self> {
        let is_here = event.netns == sent.netns || may_cross(event.local, event.remote);
        Self::of(sent, event, rst, false).filter(|_| is_here)
    }

    /// With translated addresses: then the numbers alone tell.
    fn translated(sent: &Rc<Sent>, event: &Event, rst: &Rst) -> Option<Self> {
        let has_one_end = sent.local == event.remote || sent.remote == event.local;
        let join = Self::of(sent, event, rst, true)?;
        let is_sure = join.agreement >= if has_one_end { Agreement::Exact } else { Agreement::Both };
        // A SYN's number is all that its answer has.
        let is_of_syn = rst.socket_state == Some(TcpState::SYN_SENT) && join.agreement == Agreement::Exact;
        let is_other = (sent.local, sent.remote) != (event.remote, event.local);
        let may_be = event.netns == sent.netns || may_cross(sent.local, sent.remote);
        (is_other && may_be && (is_sure || is_of_syn)).then_some(Self { is_sure, ..join })
    }

    fn of(sent: &Rc<Sent>, event: &Event, rst: &Rst, is_translated: bool) -> Option<Self> {
        let agreement = sent.numbers.agree(rst).filter(|_| is_under_way(sent.mono_ns, event.mono_ns))?;
        Some(Self { sent: sent.clone(), is_translated, agreement, is_sure: agreement > Agreement::Possible })
    }

    fn rank(&self) -> (Agreement, bool) {
        (self.agreement, !self.sent.is_found.get())
    }

    /// Nothing else can be it.
    pub(super) fn is_sure(&self) -> bool {
        self.is_sure
    }

    /// It is the one that was sent at this time, between these ends.
    pub(super) fn is_of(&self, mono_ns: u64, local: SocketAddr, remote: SocketAddr) -> bool {
        (self.sent.mono_ns, self.sent.local, self.sent.remote) == (mono_ns, local, remote)
    }

    /// The verdict on the RST that came: that on the one that was sent. `own`: what is said of it where it reset
    /// nothing.
    pub(super) fn verdict(self, event: &Event, own: Option<Verdict>) -> Verdict {
        let sent = &*self.sent;
        sent.is_found.set(true);
        let place = match (sent.netns, &sent.netns_name) {
            (netns, _) if netns == event.netns => String::new(),
            (_, Some(name)) => format!(", in netns {name}"),
            (Some(inode), None) => format!(", in netns {inode}"),
            (None, None) => String::new(),
        };
        let as_whom = if self.is_translated { format!(" as {}", sent.local) } else { String::new() };
        let peer = format!("the peer is on this host{as_whom}{place}: {}", sent.verdict.summary);
        let joined = self.evidence(event);
        let evidence = if own.is_none() && joined.is_empty() {
            sent.verdict.evidence.clone()
        } else {
            let own = own.iter().flat_map(|own| own.evidence.iter());
            own.cloned().chain(joined).chain(sent.verdict.evidence.iter().cloned()).collect()
        };
        Verdict {
            summary: match own {
                Some(own) => format!("{}; {peer}", own.summary).into(),
                None => peer.into(),
            },
            evidence,
            confidence: match self.is_sure {
                true => sent.verdict.confidence,
                false => sent.verdict.confidence.min(Confidence::Likely),
            },
            of_peer: true,
            ..sent.verdict.clone()
        }
    }

    /// By what it was found, where that is not plain.
    fn evidence(&self, event: &Event) -> Vec<Evidence> {
        let Sent { local, remote, numbers, .. } = &*self.sent;
        let mut all = Vec::new();
        let mut add = |inferred, text| all.push(Evidence { text, inferred });
        if self.is_translated {
            let by = match (numbers.seqs.first(), numbers.ack) {
                (Some(0) | None, Some(ack)) => format!("acknowledgment number {ack}"),
                (Some(seq), _) => format!("sequence number {seq}"),
                (None, None) => "numbers".to_owned(),
            };
            let ago = super::case::duration(event.mono_ns.abs_diff(self.sent.mono_ns));
            add(false, format!("a RST from {local} to {remote} with a matching {by} was sent {ago} apart"));
            add(
                true,
                format!("it is the same RST: NAT translated its addresses, and {local} appears as {}", event.remote),
            );
        }
        if self.agreement == Agreement::Possible {
            add(
                true,
                "matched by addresses, ports and time: the sequence numbers are not known well enough".to_owned(),
            );
        }
        all
    }
}
