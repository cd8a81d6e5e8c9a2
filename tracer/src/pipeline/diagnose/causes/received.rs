//! RSTs received. Where the peer is on this host, the verdict is on the RST that it sent, and none of these rules is
//! asked.

use super::super::{Cause, Finding, case};
use crate::event::TcpState;

pub(super) const INJECTED: Cause = Cause {
    id: "injected",
    title: "RST injected by a process of this host",
    remedy: "tcpkill, a packet generator or an intrusion prevention system runs here: the verdict names the process",
    rule: |case| {
        let sender = case.injector.filter(|_| case.is_received() || case.is_stray())?;
        let who = case::name(sender.owner.as_deref());
        let effect = if case.is_stray() { ", and the kernel ignored it" } else { "" };
        let summary = format!("{who} sent the RST through a raw or packet socket{effect}");
        // Only what is expected next resets (RFC 5961, section 3.2), or the FIN before it once more; before the
        // handshake any number does.
        let behind = case.circumstances().rcv_nxt.wrapping_sub(sender.segment.seq);
        let is_seen = case.rst.trigger.is_some_and(|rst| rst.seq == sender.segment.seq);
        let fits = is_seen || behind <= 1 || case.state() == Some(TcpState::SYN_SENT);
        let finding = if fits { Finding::certain(summary) } else { Finding::likely(summary) };
        Some(
            finding.observed(format!(
                "it sent {} seq {} outside the kernel's TCP",
                sender.segment.flags, sender.segment.seq
            )),
        )
    },
};

pub(super) const REFUSED: Cause = Cause {
    id: "refused",
    title: "connection refused by the peer",
    remedy: "on the peer: check that the server runs on that address and port, and that no firewall rejects it. A RST \
             for a SYN comes from a closed port, a filter, or a full accept queue",
    rule: |case| {
        let is_one = case.is_received() && case.state() == Some(TcpState::SYN_SENT);
        is_one.then(|| {
            Finding::certain(format!("{} answered the SYN of {} with a RST", case.event.remote, case.owner()))
                .inferred("only the peer knows why: run tracer there")
        })
    },
};

pub(super) const RESET_IN_HANDSHAKE: Cause = Cause {
    id: "reset_in_handshake",
    title: "handshake reset by the peer",
    remedy: "the peer did not want the SYN+ACK: it had given up, its address is spoofed, or a firewall there drops \
             state",
    rule: |case| {
        let is_one = case.is_received() && case.state() == Some(TcpState::SYN_RECV);
        is_one
            .then(|| Finding::certain(format!("{} reset the connection before it was established", case.event.remote)))
    },
};

/// Hops by which the path from a peer may well change during a connection.
const HOPS_OF_ANOTHER_WAY: u8 = 2;

pub(super) const MIDDLEBOX: Cause = Cause {
    id: "middlebox",
    title: "RST injected by a middlebox",
    remedy: "a firewall, an intrusion prevention system or a censor resets connections in the peer's name: compare \
             captures at both ends, and the TTL of the RSTs with that of the peer's segments (--baseline does)",
    rule: |case| {
        if !case.is_received() && !case.is_stray() {
            return None;
        }
        let remote = case.event.remote;
        let hops = case.hops_off();
        let summary = || format!("the RST's TTL is {hops} hops off the other segments of {remote}");
        let finding = match (case.earlier, hops) {
            (None, 0) => return None,
            (Some(earlier), _) => {
                let summary = format!(
                    "RSTs with rising sequence numbers came from {remote}: their sender does not know the right one"
                );
                let ago = case::duration(earlier.ns);
                let finding = if earlier.is_same { Finding::likely(summary) } else { Finding::possible(summary) };
                let finding =
                    finding.observed(format!("another RST with a lower sequence number arrived {ago} before"));
                match earlier.is_same {
                    true => {
                        finding.inferred("TCP answers with the numbers that it was sent, and goes beyond them once")
                    }
                    false => finding.inferred("they may belong to two connections, or answer two segments"),
                }
            }
            (None, ..=HOPS_OF_ANOTHER_WAY) => {
                Finding::possible(summary()).inferred("the path may have changed, or a middlebox sent the RST")
            }
            (None, _) => Finding::likely(summary()).inferred("something other than the peer sent it"),
        };
        Some(match case.rst.trigger {
            Some(rst) if case.rst.baseline.is_none() => finding.observed(format!("its TTL is {}", rst.ttl)),
            _ => finding,
        })
    },
};

/// Idle times after which well-known load balancers and NATs expire a connection, in seconds: AWS NLB and
/// NAT gateways, Azure's load balancer, GCP's and Linux conntrack's defaults are longer.
const IDLE_LIMITS: [(u64, &str); 3] =
    [(350, "AWS network load balancers and NAT gateways"), (240, "Azure load balancers"), (600, "GCP firewalls")];
/// How much later than the limit a RST may come, in seconds: it answers the next segment.
const AFTER_LIMIT: u64 = 15;

pub(super) const IDLE_LIMIT: Cause = Cause {
    id: "idle_limit",
    title: "idle connection expired on a middlebox (NAT, LB, firewall)",
    remedy: "send keepalives more often than the middlebox's idle timeout (TCP_KEEPIDLE below it), or close idle \
             connections earlier",
    rule: |case| {
        let idle = case.circumstances().idle_ms.filter(|_| case.is_received())? / 1000;
        let (limit, whose) =
            IDLE_LIMITS.into_iter().find(|(limit, _)| (*limit..*limit + AFTER_LIMIT).contains(&idle))?;
        let finding = Finding::possible(format!(
            "it arrived after {idle} s of silence: {whose} expire idle connections after {limit} s"
        ));
        Some(finding.observed(format!("the last segment from the peer came {idle} s before")))
    },
};

pub(super) const AFTER_CLOSE: Cause = Cause {
    id: "reset_after_close",
    title: "peer reset a connection that this side had closed",
    remedy: "the peer closed without reading to the end, or is gone; this side had closed, so it seldom matters",
    rule: |case| {
        let state = case.state().filter(|state| case.is_received() && state.has_closed())?;
        Some(Finding::likely(format!("{} reset the connection when this side was in {state}", case.event.remote)))
    },
};

pub(super) const WHILE_SENDING: Cause = Cause {
    id: "reset_while_sending",
    title: "peer reset while this side was sending",
    remedy: "the peer had closed, or aborted with unread data: its log, or tracer run there, tells which; retry only \
             requests that are safe to repeat",
    rule: |case| {
        let state = case.circumstances();
        let is_one = case.is_received() && (state.unacked > 0 || case.state() == Some(TcpState::CLOSE_WAIT));
        is_one.then(|| {
            Finding::likely(format!(
                "{} reset the connection when {} bytes of {} were unacknowledged",
                case.event.remote,
                state.unacked,
                case.owner()
            ))
            .inferred("the RST answers data: the peer's reader is gone")
        })
    },
};

pub(super) const PEER: Cause = Cause {
    id: "reset_by_peer",
    title: "reset by peer (or a middlebox)",
    remedy: "look at the peer at that time (its log, tracer run there); if it did not send a RST, a middlebox did: \
             compare captures at both ends",
    rule: |case| {
        let state = case.state().filter(|_| case.is_received());
        case.is_received().then(|| {
            let state = state.map_or_else(String::new, |state| format!(" in {state}"));
            let finding =
                Finding::likely(format!("{} reset the connection of {}{state}", case.event.remote, case.owner()));
            match case.circumstances().idle_ms {
                Some(idle) => finding.observed(format!("the last segment from the peer came {idle} ms before")),
                None => finding,
            }
        })
    },
};
