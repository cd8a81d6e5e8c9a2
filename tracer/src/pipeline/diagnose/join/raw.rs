//! Segments that processes sent by themselves, through raw or packet sockets.

use std::{net::SocketAddr, num::NonZeroUsize};

use arrayvec::ArrayVec;
use lru::LruCache;

use super::{is_under_way, may_cross, wire};
use crate::{
    event::{Event, Flags, RawSend, Rst, TcpState},
    pipeline::diagnose::Sender,
};

/// Pairs of ends that are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(8192).unwrap();
/// Segments that are remembered of each.
const SAME: usize = 4;
/// How far the peer's acknowledgment may be behind what was sent by hand.
const BEHIND: u32 = 1 << 20;

struct Sent {
    mono_ns: u64,
    netns: Option<u32>,
    sender: Sender,
}

/// The segments that were sent last, by source and destination.
pub(in crate::pipeline::diagnose) struct RawSends {
    sent: LruCache<(SocketAddr, SocketAddr), ArrayVec<Sent, SAME>>,
}

impl Default for RawSends {
    fn default() -> Self {
        Self { sent: LruCache::new(REMEMBERED) }
    }
}

impl RawSends {
    pub(in crate::pipeline::diagnose) fn add(&mut self, event: &Event, send: &RawSend) {
        let sender = Sender { owner: event.owner.clone(), segment: send.segment };
        let same = self.sent.get_or_insert_mut((event.local, event.remote), ArrayVec::new);
        same.truncate(SAME - 1);
        same.insert(0, Sent { mono_ns: event.mono_ns, netns: event.netns, sender });
    }

    fn of(&self, from: SocketAddr, to: SocketAddr, netns: Option<u32>) -> impl Iterator<Item = &Sent> {
        let is_here = move |sent: &&Sent| sent.netns == netns || may_cross(from, to);
        self.sent.peek(&(from, to)).into_iter().flatten().filter(is_here)
    }

    /// Who speaks for the local side, as an answer to what was sent by hand shows.
    pub(in crate::pipeline::diagnose) fn speaker(&self, event: &Event, rst: &Rst) -> Option<&Sender> {
        let is_answered = |sent: &&Sent| match rst.trigger.filter(|trigger| trigger.flags.contains(Flags::ACK)) {
            Some(answer) => wire::end(&sent.sender.segment).wrapping_sub(answer.ack) <= BEHIND,
            None => sent.netns == event.netns,
        };
        self.of(event.local, event.remote, event.netns).find(is_answered).map(|sent| &sent.sender)
    }

    /// Who sent the segment that provoked this RST.
    pub(in crate::pipeline::diagnose) fn prober(&self, event: &Event, rst: &Rst) -> Option<&Sender> {
        let trigger = rst.trigger?;
        let is_it = |sent: &&Sent| {
            let Sender { segment, .. } = &sent.sender;
            (segment.seq, segment.ack, segment.flags) == (trigger.seq, trigger.ack, trigger.flags)
        };
        self.of(event.remote, event.local, event.netns).find(is_it).map(|sent| &sent.sender)
    }

    /// Who sent this RST, which came.
    pub(in crate::pipeline::diagnose) fn injector(&self, event: &Event, rst: &Rst) -> Option<&Sender> {
        let state = rst.circumstances.as_ref();
        let fits = |segment: &crate::event::Segment| match (rst.trigger, state) {
            (Some(came), _) => came.seq == segment.seq,
            // Before the handshake any number does, but what acknowledges the SYN is taken only.
            (None, Some(state)) if rst.socket_state == Some(TcpState::SYN_SENT) => segment.ack == state.snd_nxt,
            (None, Some(state)) => state.rcv_nxt.wrapping_sub(segment.seq) <= 1,
            (None, None) => true,
        };
        let is_it = |sent: &&Sent| {
            is_under_way(sent.mono_ns, event.mono_ns)
                && sent.sender.segment.flags.contains(Flags::RST)
                && fits(&sent.sender.segment)
        };
        self.of(event.remote, event.local, event.netns).find(is_it).map(|sent| &sent.sender)
    }

    #[cfg(test)]
    pub(in crate::pipeline::diagnose) fn len(&self) -> usize {
        self.sent.len()
    }
}
