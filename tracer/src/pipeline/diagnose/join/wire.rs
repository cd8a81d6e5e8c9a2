//! What a RST has in its header, as far as what was observed of it tells.

use arrayvec::ArrayVec;

use crate::event::{Circumstances, Direction, Flags, Rst, RstKind, Segment, TcpState};

/// How far ahead of what is expected the sequence number of an abort may be: data before it may be lost.
const WINDOW: u32 = 1 << 23;
/// How far behind what is acknowledged a segment may be: a retransmission.
const BEHIND: u32 = 1 << 20;

/// The numbers of a RST that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Its sequence number: one of these; none if that is not known.
    pub(super) seqs: ArrayVec<u32, 2>,
    /// Its acknowledgment number, if it has one and it is known.
    pub(super) ack: Option<u32>,
    /// Up to where the sender had received, or been sent, what the peer sends.
    pub(super) heard: Option<u32>,
}

/// How well a RST that came is one that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Agreement {
    /// Nothing speaks against it.
    Possible,
    /// The sequence numbers of one direction match.
    Exact,
    /// The sequence numbers of both directions match.
    Both,
}

/// One past the last sequence number that a segment takes.
pub(super) fn end(segment: &Segment) -> u32 {
    let control = u32::from(segment.flags.contains(Flags::SYN)) + u32::from(segment.flags.contains(Flags::FIN));
    segment.seq.wrapping_add(segment.len).wrapping_add(control)
}

/// `number` is one from `low` on that `high` is not less than.
fn is_within(number: u32, low: u32, high: u32) -> bool {
    number.wrapping_sub(low) <= high.wrapping_sub(low)
}

impl Numbers {
    /// Of a RST that this host sent.
    pub(super) fn of(rst: &Rst) -> Self {
        match (rst.kind, rst.trigger, &rst.circumstances) {
            // tcp_v4_send_reset in net/ipv4/tcp_ipv4.c; a packet filter does the same.
            (RstKind::Passive | RstKind::Firewall, Some(trigger), _) => match trigger.flags.contains(Flags::ACK) {
                true => Self { seqs: [trigger.ack].into_iter().collect(), ack: None, heard: Some(end(&trigger)) },
                false => Self { seqs: [0].into_iter().collect(), ack: Some(end(&trigger)), heard: Some(end(&trigger)) },
            },
            (RstKind::Active, _, Some(state)) if state.snd_nxt != 0 => {
                Self { seqs: acceptable(state), ack: Some(state.rcv_nxt), heard: Some(state.rcv_nxt) }
            }
            _ => Self { seqs: ArrayVec::new(), ack: None, heard: None },
        }
    }

    /// How well a RST that came agrees with them; `None` if it is another one.
    pub(super) fn agree(&self, came: &Rst) -> Option<Agreement> {
        debug_assert_eq!(came.direction, Direction::Received);
        let both = || match self.heard.zip(came.circumstances.as_ref()) {
            Some((heard, state)) if has_sent(state, heard) => Agreement::Both,
            _ => Agreement::Exact,
        };
        if let Some(segment) = came.trigger {
            if self.seqs.is_empty() {
                return Some(Agreement::Possible);
            }
            let has_ack = segment.flags.contains(Flags::ACK);
            let is_it = self.seqs.contains(&segment.seq) && self.ack.is_none_or(|ack| !has_ack || ack == segment.ack);
            return is_it.then(|| match (has_ack, segment.seq) {
                // What answers a SYN: the number that it acknowledges is all that it has.
                (true, 0) => Agreement::Exact,
                (true, _) => Agreement::Both,
                (false, _) => both(),
            });
        }
        let Some(state) = came.circumstances.as_ref().filter(|state| state.snd_nxt != 0) else {
            return Some(Agreement::Possible);
        };
        if came.socket_state == Some(TcpState::SYN_SENT) {
            // What answers a SYN must acknowledge it; the sequence number may be any.
            return match self.ack {
                Some(ack) => (ack == state.snd_nxt).then_some(Agreement::Exact),
                None => self.seqs.is_empty().then_some(Agreement::Possible),
            };
        }
        // Only what is expected next resets (RFC 5961, section 3.2), or the FIN before it once more.
        let ahead = |seq: &u32| seq.wrapping_sub(state.rcv_nxt.wrapping_sub(1));
        match self.seqs.iter().map(ahead).min() {
            Some(0 | 1) => Some(both()),
            // Behind a hole, where the peer has been told of what came after it.
            None | Some(..WINDOW) => Some(Agreement::Possible),
            Some(_) => None,
        }
    }
}

/// The sequence number of a segment without data: `tcp_acceptable_seq` in net/ipv4/tcp_output.c, where it does not show
/// how the window is scaled.
fn acceptable(state: &Circumstances) -> ArrayVec<u32, 2> {
    let window_end = state.snd_nxt.wrapping_sub(state.unacked).wrapping_add(state.snd_wnd);
    let is_beyond = (1..1 << 31).contains(&state.snd_nxt.wrapping_sub(window_end));
    [Some(state.snd_nxt), is_beyond.then_some(window_end)].into_iter().flatten().collect()
}

/// What the socket has sent may have brought the peer to here.
fn has_sent(state: &Circumstances, heard: u32) -> bool {
    state.snd_nxt != 0
        && is_within(heard, state.snd_nxt.wrapping_sub(state.unacked).wrapping_sub(BEHIND), state.snd_nxt)
}
