//! RSTs that come in a row for one connection.

use std::{net::SocketAddr, num::NonZeroUsize};

use arrayvec::ArrayVec;
use lru::LruCache;

use crate::{
    event::{Event, Rst, RstKind, TcpState},
    pipeline::diagnose::case::Earlier,
};

/// Connections that are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(8192).unwrap();
/// RSTs that are remembered of each.
const SERIES: usize = 4;
/// How long after another a RST of the same series may come.
const SERIES_NS: u64 = 1_000_000_000;

/// A namespace, and two ends in it.
type Place = (Option<u32>, SocketAddr, SocketAddr);

/// A RST that came.
#[derive(Clone, Copy)]
struct Came {
    mono_ns: u64,
    seq: u32,
    /// The socket that it was for; 0 if there was none, or it is not seen.
    sock: u64,
    /// That was reset by it, so what comes afterwards is for no socket, or for another one.
    has_reset: bool,
    /// It was for a connection that is there.
    is_for_connection: bool,
    /// The sequence number that was expected.
    expected: Option<u32>,
}

/// The RSTs that came last, by connection.
pub(in crate::pipeline::diagnose) struct Series {
    came: LruCache<Place, ArrayVec<Came, SERIES>>,
}

impl Default for Series {
    fn default() -> Self {
        Self { came: LruCache::new(REMEMBERED) }
    }
}

impl Series {
    /// Remembers a RST that came.
    pub(in crate::pipeline::diagnose) fn add(&mut self, event: &Event, rst: &Rst) {
        let Some(came) = Came::of(event, rst) else { return };
        let series = self.came.get_or_insert_mut((event.netns, event.local, event.remote), ArrayVec::new);
        series.truncate(SERIES - 1);
        series.insert(0, came);
    }

    #[cfg(test)]
    pub(in crate::pipeline::diagnose) fn len(&self) -> usize {
        self.came.len()
    }

    /// The RST before this one that the peer has not sent as well: this one goes beyond what it may know of. What
    /// TCP answers with has a number that it was sent.
    pub(in crate::pipeline::diagnose) fn earlier(&self, event: &Event, rst: &Rst) -> Option<Earlier> {
        let now = Came::of(event, rst)?;
        let series = self.came.peek(&(event.netns, event.local, event.remote))?;
        series.iter().find_map(|other| now.follows(other))
    }
}

impl Came {
    fn of(event: &Event, rst: &Rst) -> Option<Self> {
        let next = rst.circumstances.as_ref().map(|state| state.rcv_nxt);
        let expected = next.filter(|_| rst.socket_state != Some(TcpState::SYN_SENT));
        let others = [TcpState::LISTEN, TcpState::NEW_SYN_RECV, TcpState::CLOSE];
        let validates = rst.stack.iter().any(|function| function == "tcp_validate_incoming");
        Some(Self {
            mono_ns: event.mono_ns,
            // Where the segment is not seen: only what is expected next resets (RFC 5961, section 3.2).
            seq: rst.trigger.map(|trigger| trigger.seq).or(expected)?,
            sock: event.sock,
            has_reset: rst.kind == RstKind::Peer,
            is_for_connection: validates || rst.socket_state.is_some_and(|state| !others.contains(&state)),
            expected,
        })
    }

    fn follows(&self, other: &Self) -> Option<Earlier> {
        let ago = self.mono_ns.checked_sub(other.mono_ns).filter(|ago| *ago < SERIES_NS)?;
        let is_above = |seq: u32, other: u32| (1..1 << 31).contains(&seq.wrapping_sub(other));
        if !is_above(self.seq, other.seq) {
            return None;
        }
        // A connection is reset once; the next one may have the same ends.
        let may_be_its = match other.has_reset {
            true => !self.has_reset && !self.is_for_connection,
            false => self.sock == other.sock || self.sock == 0 || other.sock == 0,
        };
        let expected = self.expected.or(other.expected);
        let is_known = other.has_reset || self.sock == other.sock && self.sock != 0;
        (may_be_its && expected.is_none_or(|expected| is_above(self.seq, expected)))
            .then_some(Earlier { ns: ago, is_same: is_known && expected.is_some() })
    }
}
