//! Segments that do not fit a handshake.

use super::super::{Cause, Finding};
use crate::event::TcpState;

pub(super) const OLD_CONNECTION: Cause = Cause {
    id: "old_connection",
    title: "the other end still has an old connection with this port",
    remedy: "it heals by itself: this RST ends the old connection, and the SYN is sent again; to avoid the delay, do \
             not use a source port anew so soon",
    rule: |case| {
        if !case.answers_in(&[TcpState::SYN_SENT]) {
            return None;
        }
        let summary = format!("{} answered the SYN with an acknowledgment of something else", case.event.remote);
        // Before 6.10 the kernel does not tell a bad acknowledgment from a bad timestamp.
        Some(match case.reason() {
            "TCP_INVALID_ACK_SEQUENCE" => Finding::certain(summary),
            _ => Finding::likely(summary),
        })
    },
};

pub(super) const PAWS: Cause = Cause {
    id: "paws_on_connect",
    title: "the answer to the SYN has a timestamp from before",
    remedy: "the other end echoes a timestamp that this one did not send: look for a proxy or NAT that mixes \
             connections up",
    rule: |case| {
        let is_one = case.answers_in(&[TcpState::SYN_SENT]) && case.reason() == "TCP_RFC7323_PAWS";
        is_one.then(|| Finding::certain(format!("{} echoed a timestamp that was not sent", case.event.remote)))
    },
};

pub(super) const BAD_FINAL_ACK: Cause = Cause {
    id: "bad_final_ack",
    title: "the handshake's last ACK acknowledges the wrong thing",
    remedy: "a middlebox that changes sequence numbers in one direction only, or a forged segment: compare a capture \
             at both ends",
    rule: |case| {
        let is_one = case.answers_in(&[TcpState::SYN_RECV, TcpState::NEW_SYN_RECV]);
        is_one.then(|| Finding::certain(format!("{} did not acknowledge the SYN+ACK that it got", case.event.remote)))
    },
};
