//! Segments without a connection.

use super::super::{Cause, Finding, actor, case};
use crate::event::{Flags, Near, TcpState};

pub(super) const SCAN_PROBE: Cause = Cause {
    id: "scan_probe",
    title: "crafted segment that probes for an answer (port scan)",
    remedy: "somebody scans for open ports (nmap -sF, -sX, -sN, -sA, hping3 and the like): find out who, and whether \
             that is wanted; a packet filter can drop such segments, so that they get no answer",
    rule: |case| {
        let trigger = case.rst.trigger.filter(|_| case.is_passive())?;
        let (ack, syn) = (trigger.flags.contains(Flags::ACK), trigger.flags.contains(Flags::SYN));
        let kind = if trigger.flags.0 == 0 { "a segment without flags".to_owned() } else { trigger.flags.to_string() };
        let (remote, local) = (case.event.remote, case.event.local);
        let known = case.past().is_some() || case.rst.near.is_some();
        if let Some(sender) = case.prober.filter(|_| !(syn || ack && known)) {
            let who = case::name(sender.owner.as_deref());
            return Some(
                Finding::certain(format!("{who} sent {kind} to {local} through a raw or packet socket"))
                    .observed(format!("it sent {kind} seq {} outside the kernel's TCP", sender.segment.seq)),
            );
        }
        let is_forged = !ack && !syn && !trigger.flags.contains(Flags::RST);
        is_forged.then(|| {
            Finding::certain(format!(
                "{remote} sent {kind} to {local}, which no TCP does: every segment of a connection has ACK"
            ))
            .inferred("a port scan (FIN, NULL or Xmas), or a broken sender")
        })
    },
};

pub(super) const FORGED_HANDSHAKE: Cause = Cause {
    id: "forged_handshake",
    title: "SYN sent outside the kernel's TCP (raw socket or spoofed)",
    remedy: "a handshake through a raw socket needs this RST filtered out (nft or iptables, for that port), or a \
             socket that the kernel knows; if no process here does that, another host sends SYNs with this host's \
             address",
    rule: |case| {
        if !case.is_without_socket() || case.answers_syn() || case.past().is_some() {
            return None;
        }
        let answers_syn_ack = case.trigger_has(Flags(Flags::SYN.0 | Flags::ACK.0));
        // Who sends RSTs only, as tcpkill does, has no connection in mind.
        let sender = case.raw_sender.filter(|sender| !sender.segment.flags.contains(Flags::RST));
        if let Some(sender) = sender {
            let who = case::name(sender.owner.as_deref());
            let summary = match answers_syn_ack {
                true => format!("{who} sent the SYN through a raw socket, so no TCP socket expects this SYN+ACK"),
                false => format!("{who} speaks TCP through a raw socket, so the kernel has no such connection"),
            };
            let sent =
                format!("{who} sent {} seq {} outside the kernel's TCP", sender.segment.flags, sender.segment.seq);
            return Some(Finding::certain(summary).observed(sent));
        }
        if !answers_syn_ack {
            return None;
        }
        let summary = "a SYN+ACK arrived for a SYN that no TCP socket is known to have sent: it came from a raw socket, or \
                       its source address was spoofed";
        let unseen = "no socket on this 4-tuple was closed while the trace ran, and no raw send was seen";
        Some(case.by_absence(Finding::likely(summary).inferred(unseen)))
    },
};

pub(super) const CLOSED_PORT: Cause = Cause {
    id: "closed_port",
    title: "nothing listens on that port",
    remedy: "start the server, or correct the port; `ss -ltn` shows listening sockets",
    rule: |case| {
        let is_one = case.is_without_socket() && case.answers_syn();
        is_one.then(|| {
            let by = case.prober.map_or_else(String::new, |sender| {
                let who = case::name(sender.owner.as_deref());
                format!("; {who} sent the SYN through a raw or packet socket, as a port scan does")
            });
            Finding::certain(format!("nothing listens on {}{by}", case.event.local))
                .observed("the lookups for its SYN found neither a connection nor a listener")
        })
    },
};

/// How long a handshake may be half done: the SYN+ACK is retransmitted for so long (tcp_synack_retries).
pub(super) const HANDSHAKE_NS: u64 = 63_000_000_000;

pub(super) const CLOSED_IN_HANDSHAKE: Cause = Cause {
    id: "closed_in_handshake",
    title: "listener closed during a handshake",
    remedy: "the server was stopped or restarted while a client connected: take it out of the load balancer first, or \
             hand the listening socket over to the new process (socket activation, SO_REUSEPORT with \
             net.ipv4.tcp_migrate_req)",
    rule: |case| {
        let former = case.rst.former.as_ref().filter(|_| case.is_without_socket() && !case.answers_syn())?;
        let is_ack = case.trigger_has(Flags::ACK) && !case.trigger_has(Flags::SYN);
        if !is_ack || former.closed_ns_ago > HANDSHAKE_NS {
            return None;
        }
        let (who, ago) = (case::name(former.owner.as_deref()), case::duration(former.closed_ns_ago));
        let how = match actor::killed(former.owner.as_deref(), former.signal) {
            Some(killed) => format!("{who} {killed} {ago} before, which closed its listener"),
            None => format!("{who} closed its listener {ago} before"),
        };
        let finding = Finding::likely(format!("{how}, during the handshake of {}", case.event.remote))
            .observed(format!("the listener for {} was closed {ago} before", case.event.local))
            .inferred("the handshake was not complete: no socket on this 4-tuple was closed while the trace ran");
        Some(case.by_absence(finding))
    },
};

pub(super) const LATE_ANSWER: Cause = Cause {
    id: "late_answer",
    title: "SYN answered after its socket was closed",
    remedy: "the peer answers, but later than this host waits: look for loss and delay on the path, or an overloaded \
             server; raise the process's own connect timeout",
    rule: |case| {
        let past = case.past().filter(|past| past.closed_from == TcpState::SYN_SENT && case.is_without_connection())?;
        let (who, ago) = (case::name(past.owner.as_deref()), case::duration(past.closed_ns_ago));
        let waited = past.lifetime_ns.map_or_else(String::new, |waited| format!(" after {}", case::duration(waited)));
        let remote = case.event.remote;
        let did = match (past.error.as_deref(), past.reset_received) {
            (_, true) => format!("the connect of {who} was refused{waited}"),
            (Some(error), _) => format!("the connect of {who} failed with {error}{waited}"),
            (None, _) => {
                let did = actor::killed(past.owner.as_deref(), past.signal)
                    .unwrap_or_else(|| "gave up its connect".to_owned());
                format!("{who} {did}{waited}")
            }
        };
        let summary = format!("{did}, and {remote} answered {ago} later");
        let answer = case.rst.trigger.filter(|trigger| trigger.flags.contains(Flags::SYN));
        let is_its = answer.is_some_and(|answer| answer.ack == past.numbers.snd_next);
        let finding = if is_its { Finding::certain(summary) } else { Finding::likely(summary) };
        let finding = finding.observed("the socket on this 4-tuple went from SYN_SENT to CLOSE");
        Some(match is_its {
            true => finding.observed(format!("the answer acknowledges its SYN: ack {}", past.numbers.snd_next)),
            false => finding.inferred("the segment does not acknowledge that SYN: it may answer an earlier one"),
        })
    },
};

pub(super) const TIMED_OUT: Cause = Cause {
    id: "timed_out",
    title: "connection had timed out locally",
    remedy: "find out why nothing was heard from the peer: loss or a firewall on the path, a sleeping or overloaded \
             peer; TCP_USER_TIMEOUT and tcp_retries2 set how long this host waits",
    rule: |case| {
        let past = case.past().filter(|_| case.is_without_connection())?;
        let is_told = past.error.as_deref() == Some("ETIMEDOUT");
        // A connection's only error in an interrupt that is none of a RST's; a SYN's may be that of an ICMP message.
        let may_be = past.error_taken && past.closed_from != TcpState::SYN_SENT;
        if !is_told && !may_be {
            return None;
        }
        let (who, ago) = (case::name(past.owner.as_deref()), case::duration(past.closed_ns_ago));
        let summary = format!(
            "the connection of {who} timed out {ago} ago, because nothing was heard from the peer, which did not know"
        );
        Some(match is_told {
            true => Finding::certain(summary).observed("the socket had been closed with ETIMEDOUT"),
            false => Finding::likely(summary)
                .observed("the kernel had closed the socket on its own, without a RST")
                .inferred("a timer closed it: the error, which the process had read by then, was ETIMEDOUT"),
        })
    },
};

pub(super) const LATE_SEGMENT: Cause = Cause {
    id: "late_segment",
    title: "segment for a closed connection",
    remedy: "the peer still sent after this side had closed: let the side that reads to the end close last, or shut \
             down sending and read to the end before close()",
    rule: |case| {
        let past = case.past().filter(|_| case.is_without_connection())?;
        if past.closed_from == TcpState::NEW_SYN_RECV {
            return None;
        }
        let (who, ago) = (case::name(past.owner.as_deref()), case::duration(past.closed_ns_ago));
        let ended = match (past.reset_sent, past.reset_received) {
            _ if past.repair => format!("{who} removed it in repair mode, without a segment,"),
            (true, _) => format!("{who} closed it with a RST"),
            (_, true) => format!("a RST from the peer reset it while {who} owned it,"),
            (false, false) => format!("{who} closed it"),
        };
        let summary = format!("this connection existed: {ended} {ago} ago");
        let finding = if past.numbers.are_known() { Finding::certain(summary) } else { Finding::likely(summary) };
        let open = past.open_ns.map_or_else(String::new, |open| format!(", after {}", case::duration(open)));
        let finding = finding.observed(format!("its socket went from {} to CLOSE{open}", past.closed_from));
        Some(match past.unread {
            0 => finding,
            unread => finding.observed(format!("{unread} bytes were unread")),
        })
    },
};

pub(super) const NAT_STATE_LOST: Cause = Cause {
    id: "nat_state_lost",
    title: "connection lost its NAT state",
    remedy: "compare `conntrack -L` with the connection: raise the conntrack timeouts or table size, do not flush the \
             table under traffic, and send keepalives more often than its entries expire",
    rule: |case| {
        // With the same ends it is another host's that had the address before: nothing was translated.
        let is_other = |near: &&Near| (near.local, near.remote) != (case.event.local, case.event.remote);
        let near = case.rst.near.as_ref().filter(|_| case.is_without_connection()).filter(is_other)?;
        let (who, place) = (case::name(near.owner.as_deref()), case.place(near.netns));
        let is = if near.is_open { "was open" } else { "was closed" };
        let finding = Finding::likely(format!(
            "no socket has this 4-tuple, but the segment belongs to the connection {} with {} of {who}{place}",
            near.local, near.remote
        ))
        .observed(format!("its sequence numbers are those of that connection, which {is} then"));
        Some(finding.inferred("NAT should have translated the segment's addresses, and did not"))
    },
};

pub(super) const HALF_OPEN: Cause = Cause {
    id: "half_open",
    title: "half-open connection, unknown to this host",
    remedy: "the peer believes in a connection from before this host (or container) restarted, or took over the \
             address: let the peer reconnect; keepalives find half-open connections sooner",
    rule: |case| {
        let is_one = case.is_without_socket() && !case.answers_syn();
        is_one.then(|| {
            let finding = Finding::likely(format!(
                "half-open: {} believes in a connection that {} does not have",
                case.event.remote, case.event.local
            ))
            .inferred("no such socket was closed while the trace ran")
            .inferred(
                "it ended before the trace, or before a reboot or restart of this host, or the address was reused",
            );
            case.by_absence(finding)
        })
    },
};
