//! RSTs that came. Where the other end is on this host, the verdict is on the RST that it sent, and none of
//! these is asked.

use super::super::{Cause, Finding, case};
use crate::event::TcpState;

pub(super) const INJECTED: Cause = Cause {
    id: "injected",
    title: "a process of this host injected the RST",
    remedy: "somebody runs tcpkill, a packet generator or an intrusion prevention system here: the process is named",
    rule: |case| {
        let sender = case.injector.filter(|_| case.is_received() || case.is_stray())?;
        let who = case::name(sender.owner.as_deref());
        let effect = if case.is_stray() { ", and it reset nothing" } else { "" };
        let summary = format!("{who} sent the RST through a raw or packet socket{effect}");
        // Only what is expected next resets (RFC 5961, section 3.2), or the FIN before it once more; before the
        // handshake any number does.
        let behind = case.circumstances().rcv_nxt.wrapping_sub(sender.segment.seq);
        let is_seen = case.rst.trigger.is_some_and(|rst| rst.seq == sender.segment.seq);
        let fits = is_seen || behind <= 1 || case.state() == Some(TcpState::SYN_SENT);
        let finding = if fits { Finding::certain(summary) } else { Finding::likely(summary) };
        Some(finding.observed(format!("it sent {} seq {} by itself", sender.segment.flags, sender.segment.seq)))
    },
};

pub(super) const REFUSED: Cause = Cause {
    id: "refused",
    title: "the other end refused the connection",
    remedy: "on the other end: does the server run, on that address and port, and does no firewall reject it? A RST \
             for a SYN comes from a closed port, a filter, or a full accept queue",
    rule: |case| {
        let is_one = case.is_received() && case.state() == Some(TcpState::SYN_SENT);
        is_one.then(|| {
            Finding::certain(format!("{} answered the SYN of {} with a RST", case.event.remote, case.owner()))
                .inferred("why, only the other end knows: tracer there tells")
        })
    },
};

pub(super) const RESET_IN_HANDSHAKE: Cause = Cause {
    id: "reset_in_handshake",
    title: "the other end reset the handshake",
    remedy: "the other end did not want the SYN+ACK: it had given up, its address is forged, or a firewall there \
             drops state",
    rule: |case| {
        let is_one = case.is_received() && case.state() == Some(TcpState::SYN_RECV);
        is_one
            .then(|| Finding::certain(format!("{} reset the connection before it was established", case.event.remote)))
    },
};

/// Hops by which the way from an end may well change during a connection.
const HOPS_OF_ANOTHER_WAY: u8 = 2;

pub(super) const MIDDLEBOX: Cause = Cause {
    id: "middlebox",
    title: "something on the way reset it in the other end's name",
    remedy: "a firewall, an intrusion prevention system or a censor resets connections in the other end's name: \
             compare captures at both ends, and the TTL of the RSTs with that of the other end's segments \
             (--baseline does)",
    rule: |case| {
        if !case.is_received() && !case.is_stray() {
            return None;
        }
        let remote = case.event.remote;
        let hops = case.hops_off();
        let summary = || format!("the RST has not come the way of the segments of {remote}: {hops} hops more or less");
        let finding = match (case.earlier, hops) {
            (None, 0) => return None,
            (Some(earlier), _) => {
                let summary = format!(
                    "RSTs with rising sequence numbers came from {remote}: who sends them does not know which is the \
                     right one"
                );
                let ago = case::duration(earlier.ns);
                let finding = if earlier.is_same { Finding::likely(summary) } else { Finding::possible(summary) };
                let finding = finding.observed(format!("another RST with a lower sequence number came {ago} before"));
                match earlier.is_same {
                    true => {
                        finding.inferred("TCP answers with the numbers that it was sent, and goes beyond them once")
                    }
                    false => finding.inferred("they may be of two connections, or answers to two segments"),
                }
            }
            (None, ..=HOPS_OF_ANOTHER_WAY) => {
                Finding::possible(summary()).inferred("the way may have changed, or something on it sent the RST")
            }
            (None, _) => Finding::likely(summary()).inferred("something else than the other end sent it"),
        };
        Some(match case.rst.trigger {
            Some(rst) if case.rst.baseline.is_none() => finding.observed(format!("its TTL is {}", rst.ttl)),
            _ => finding,
        })
    },
};

/// Idle times after which well-known load balancers and NATs forget a connection, in seconds: AWS NLB and
/// NAT gateways, Azure's load balancer, GCP's and Linux conntrack's defaults are longer.
const IDLE_LIMITS: [(u64, &str); 3] =
    [(350, "AWS network load balancers and NAT gateways"), (240, "Azure load balancers"), (600, "GCP firewalls")];
/// How much later than the limit a RST may come, in seconds: it answers the next segment.
const AFTER_LIMIT: u64 = 15;

pub(super) const IDLE_LIMIT: Cause = Cause {
    id: "idle_limit",
    title: "a box on the way forgot an idle connection",
    remedy: "send keepalives more often than the box forgets (TCP_KEEPIDLE below its limit), or close idle \
             connections earlier",
    rule: |case| {
        let idle = case.circumstances().idle_ms.filter(|_| case.is_received())? / 1000;
        let (limit, whose) =
            IDLE_LIMITS.into_iter().find(|(limit, _)| (*limit..*limit + AFTER_LIMIT).contains(&idle))?;
        let finding = Finding::possible(format!("it came after {idle} s of silence: {whose} forget after {limit} s"));
        Some(finding.observed(format!("the other end was last heard {idle} s before")))
    },
};

pub(super) const AFTER_CLOSE: Cause = Cause {
    id: "reset_after_close",
    title: "the other end reset what this one had closed",
    remedy: "the other end closed without reading to the end, or is gone; this end has closed, so it seldom matters",
    rule: |case| {
        let state = case.state().filter(|state| case.is_received() && state.has_closed())?;
        Some(Finding::likely(format!("{} reset the connection when this end was in {state}", case.event.remote)))
    },
};

pub(super) const WHILE_SENDING: Cause = Cause {
    id: "reset_while_sending",
    title: "the other end reset while this one was sending",
    remedy: "the other end had closed, or aborted with data unread: its log, or tracer there, tells; retry only what \
             may be done twice",
    rule: |case| {
        let state = case.circumstances();
        let is_one = case.is_received() && (state.unacked > 0 || case.state() == Some(TcpState::CLOSE_WAIT));
        is_one.then(|| {
            Finding::likely(format!(
                "{} reset the connection when {} bytes of {} were not acknowledged",
                case.event.remote,
                state.unacked,
                case.owner()
            ))
            .inferred("a RST in answer to data: whoever should read it is gone")
        })
    },
};

pub(super) const PEER: Cause = Cause {
    id: "reset_by_peer",
    title: "the other end, or a box on the way, reset the connection",
    remedy: "look at the other end at that time (its log, tracer there); if it did not send a RST, a box on the way \
             did: compare captures at both ends",
    rule: |case| {
        let state = case.state().filter(|_| case.is_received());
        case.is_received().then(|| {
            let state = state.map_or_else(String::new, |state| format!(" in {state}"));
            let finding =
                Finding::likely(format!("{} reset the connection of {}{state}", case.event.remote, case.owner()));
            match case.circumstances().idle_ms {
                Some(idle) => finding.observed(format!("the other end was last heard {idle} ms before")),
                None => finding,
            }
        })
    },
};
