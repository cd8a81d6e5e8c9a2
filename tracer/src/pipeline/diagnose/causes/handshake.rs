//! Segments that do not fit a handshake.

use super::super::{Cause, Finding};
use crate::event::TcpState;

pub(super) const OLD_CONNECTION: Cause = Cause {
    id: "old_connection",
    title: "peer still holds an old connection on this 4-tuple",
    remedy: "nothing to fix: this RST ends the old connection, and the SYN is retransmitted; to avoid the delay, do \
             not reuse a source port so soon",
    rule: |case| {
        if !case.answers_in(&[TcpState::SYN_SENT]) {
            return None;
        }
        let summary = format!("{} answered the SYN with an ACK of something else", case.event.remote);
        // Before 6.10 the kernel does not tell a bad acknowledgment from a bad timestamp.
        Some(match case.reason() {
            "TCP_INVALID_ACK_SEQUENCE" => Finding::certain(summary),
            _ => Finding::likely(summary),
        })
    },
};

pub(super) const PAWS: Cause = Cause {
    id: "paws_on_connect",
    title: "SYN+ACK echoes a wrong timestamp (PAWS)",
    remedy: "the peer echoes a timestamp that this host did not send: look for a proxy or NAT that mixes connections \
             up",
    rule: |case| {
        let is_one = case.answers_in(&[TcpState::SYN_SENT]) && case.reason() == "TCP_RFC7323_PAWS";
        is_one
            .then(|| Finding::certain(format!("{} echoed a timestamp that this host did not send", case.event.remote)))
    },
};

pub(super) const BAD_FINAL_ACK: Cause = Cause {
    id: "bad_final_ack",
    title: "final ACK of the handshake has a wrong acknowledgment number",
    remedy: "a middlebox changes sequence numbers in one direction only, or the segment is forged: compare captures at \
             both ends",
    rule: |case| {
        let is_one = case.answers_in(&[TcpState::SYN_RECV, TcpState::NEW_SYN_RECV]);
        is_one.then(|| {
            Finding::certain(format!(
                "the final ACK of {} does not acknowledge the SYN+ACK that was sent",
                case.event.remote
            ))
        })
    },
};
