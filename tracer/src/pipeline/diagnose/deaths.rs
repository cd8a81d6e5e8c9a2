//! Failures without a RST: a connection, or an attempt at one, got no reply, or the network reported an error.
//!
//! As for RSTs: each cause is a constant with its rule, asked in order, and the last one's always applies.

use tracer_ebpf::record::{GAVE_UP_NS, KILLED_WAITING_NS};

use super::{Confidence, Finding, Verdict, Watch, actor, case};
use crate::event::{Close, End, Event, Reader, TcpState};

/// A cause of failures without a RST.
pub struct Death {
    /// Stable identifier.
    pub id: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What to do.
    pub remedy: &'static str,
    rule: fn(&Event, &Close) -> Option<Finding>,
}

impl std::fmt::Debug for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

/// All of them.
pub static ALL: [&Death; 8] = [
    &NO_ANSWER,
    &ABANDONED,
    &ZERO_WINDOW,
    &USER_TIMEOUT,
    &RETRANSMISSIONS,
    &DESTROYED_UNOPENED,
    &RST_UNSEEN,
    &UNREACHABLE,
];

const NO_ANSWER: Death = Death {
    id: "no_answer",
    title: "no reply to SYN",
    remedy: "check that the address is right, the host is up, and no firewall drops the SYN on its path (a closed port \
             would have answered with a RST); tcp_syn_retries and TCP_SYNCNT set how long this host tries",
    rule: |event, close| {
        let is_one = close.ended_by == End::Timeout && close.old == TcpState::SYN_SENT;
        is_one.then(|| {
            let again = case::counted(close.retransmits.into(), "SYN retransmit");
            let (who, remote) = (case::name(event.last_owner()), event.remote);
            timeout(close, format!("{who} got no reply from {remote} ({again})"))
        })
    },
};

const ABANDONED: Death = Death {
    id: "connect_abandoned",
    title: "connect given up before a reply to its SYN",
    remedy: "check that the address is right, the host is up, and no firewall drops the SYN on its path (a closed port \
             would have answered with a RST); where the peer is only slow or far away, raise the process's own connect \
             timeout",
    rule: |event, close| {
        let waited = close.lifetime_ns.filter(|_| close.ended_by == End::Abandoned);
        let is_killed = close.signal.is_some();
        let enough = if is_killed { KILLED_WAITING_NS } else { GAVE_UP_NS };
        let has_waited = close.retransmits > 0 || waited.is_some_and(|waited| waited >= enough);
        if close.ended_by != End::Abandoned || !has_waited {
            return None;
        }
        let (who, remote) = (case::name(event.last_owner()), event.remote);
        let did = actor::killed(event.last_owner(), close.signal).unwrap_or_else(|| "gave up its connect".to_owned());
        let after = waited.map_or_else(String::new, |waited| format!(" after {}", case::duration(waited)));
        let syns = case::counted(u64::from(close.retransmits) + 1, "SYN");
        let summary = format!("{who} {did}{after}: {remote} had not answered its {syns}");
        let finding =
            Finding::new(if close.ended_by_observed { Confidence::Certain } else { Confidence::Likely }, summary);
        Some(finding.observed("the socket was closed in SYN_SENT, without an error"))
    },
};

const ZERO_WINDOW: Death = Death {
    id: "zero_window",
    title: "peer answered, but accepted no data (zero window)",
    remedy: "the peer's process does not read received data: find out what it waits for (`ss -tnp` there shows its \
             Recv-Q). TCP_USER_TIMEOUT limits how long the sender tolerates that, tcp_orphan_retries how long after \
             close()",
    rule: |event, close| {
        // What is in flight when the receiver's buffer fills up is dropped there, and answered by a window of 0: it is
        // retransmitted as window probes are (tcp_retransmit_timer in net/ipv4/tcp_timer.c).
        let of_window = close.window_closed && close.unsent > 0;
        let limit = close.user_timeout_ms;
        // Later than the first probe, if there is an answer to one.
        let in_time = if limit == 0 { LONGEST_PROBE_MS } else { limit.into() };
        let is_heard = close.idle_ms.map_or(close.probes == 0, |idle| idle < in_time);
        if close.ended_by != End::Timeout || !of_window || !is_heard {
            return None;
        }
        let (who, remote) = (case::name(event.last_owner()), event.remote);
        // A FIN that waits behind them counts like a byte.
        let unsent = close.unsent - u32::from(close.old.has_closed());
        let never = match close.unacked {
            0 => format!("{unsent} bytes of {who} were never sent"),
            dropped => format!("{} bytes of {who} never reached its buffer", u64::from(unsent) + u64::from(dropped)),
        };
        let bears = if limit == 0 { String::new() } else { format!(" for the {limit} ms that {who} allows") };
        let summary = match &close.reader {
            Some(Reader { pid, comm, unread }) => format!(
                "{comm}[{pid}] did not read: with {unread} bytes unread, {remote} accepted no more data{bears}, so {never}"
            ),
            None => format!("{remote} answered with a zero window{bears}, so {never}"),
        };
        let is_seen = close.unacked == 0 || close.reader.as_ref().is_some_and(|reader| reader.unread > 0);
        // Each probe that is answered sets the count to 0 (tcp_ack in net/ipv4/tcp_input.c).
        let finding = match close.probes {
            0 if close.idle_ms.is_none() || !is_seen => {
                Finding::likely(summary).observed("no window probe was unanswered")
            }
            0 => Finding::certain(summary).observed("no window probe was unanswered"),
            count => {
                Finding::likely(summary).observed(format!("{count} window probes in a row were unanswered")).inferred(
                    "a host answers at most two probes a second (tcp_invalid_ratelimit), so the peer may still be there",
                )
            }
        };
        let finding = finding.observed(match close.idle_ms {
            Some(idle) => format!("the last segment from the peer came {idle} ms before, and its window was 0"),
            None => "the peer's window was 0".to_owned(),
        });
        Some(finding.observed(format!("the socket was in {}", close.old)))
    },
};

/// Between two window probes there is no longer time (`TCP_RTO_MAX`), and a little for the answer.
const LONGEST_PROBE_MS: u64 = 125_000;

const USER_TIMEOUT: Death = Death {
    id: "user_timeout",
    title: "TCP_USER_TIMEOUT passed without an acknowledgment",
    remedy: "find out why nothing was heard from the peer: loss or a firewall on the path, a sleeping or overloaded \
             peer; a longer TCP_USER_TIMEOUT tolerates longer silences",
    rule: |event, close| {
        let is_one = close.ended_by == End::Timeout && close.user_timeout_ms != 0;
        is_one.then(|| {
            let (who, limit) = (case::name(event.last_owner()), close.user_timeout_ms);
            timeout(close, format!("{} acknowledged no data for the {limit} ms that {who} allows", event.remote))
                .observed(format!("the socket's TCP_USER_TIMEOUT is {limit} ms"))
        })
    },
};

const RETRANSMISSIONS: Death = Death {
    id: "retransmission_timeout",
    title: "retransmissions were not acknowledged",
    remedy: "find out why nothing was heard from the peer: loss or a firewall on the path, a host that is down; \
             tcp_retries2 sets how long this host tries, TCP_USER_TIMEOUT does so for one socket",
    rule: |event, close| {
        (close.ended_by == End::Timeout).then(|| {
            let (who, remote) = (case::name(event.last_owner()), event.remote);
            timeout(close, format!("the kernel gave up the connection of {who}: {remote} acknowledged no more data"))
        })
    },
};

const DESTROYED_UNOPENED: Death = Death {
    id: "destroyed_unopened",
    title: "socket without a connection destroyed by an administrator (SOCK_DESTROY)",
    remedy: "`ss -K` or a network manager (Android, Cilium) destroyed it, perhaps because its address was removed: ask \
             whoever runs that",
    rule: |event, close| {
        (close.ended_by == End::Aborted).then(|| {
            let who = case::name(event.last_owner());
            Finding::certain(format!("the connect of {who} was aborted from outside (sock_diag)"))
                .observed("the socket was closed with ECONNABORTED")
        })
    },
};

const RST_UNSEEN: Death = Death {
    id: "rst_unseen",
    title: "RST received, but not observed",
    remedy: "`tracer doctor` tells why received RSTs are not observed here",
    rule: |event, close| {
        (close.ended_by == End::RstReceived).then(|| {
            let summary = format!("{} reset the connection, but no probe saw the RST", event.remote);
            Finding::likely(summary).inferred("the socket has the error that a RST leaves")
        })
    },
};

const UNREACHABLE: Death = Death {
    id: "unreachable",
    title: "peer reported unreachable by the network",
    remedy: "a router or a host's firewall answered with ICMP: check the route to that address (`ip route get`) and \
             the filters on the path; `traceroute -T` shows where the path ends",
    rule: |event, close| {
        if close.ended_by == End::Abandoned {
            return None;
        }
        let finding = match &close.error {
            Some(error) => Finding::likely(format!("{} is unreachable: {error}", event.remote))
                .inferred("ICMP messages cause this error"),
            None => Finding::possible(format!("{} is unreachable, or did not answer", event.remote))
                .inferred("the process read the socket's error before closing it"),
        };
        Some(finding.observed(format!("the socket was in {}", close.old)))
    },
};

/// A finding about a timeout.
fn timeout(close: &Close, summary: String) -> Finding {
    let finding = match close.ended_by_observed {
        true => Finding::certain(summary).observed("the socket was closed with ETIMEDOUT"),
        false => {
            Finding::likely(summary).inferred("a timer ended it: the process read the socket's error before closing it")
        }
    };
    let finding = finding.observed(format!("the socket was in {}", close.old));
    let finding = match close.unanswered {
        0 => finding,
        count => finding.observed(format!("{count} retransmissions in a row were unanswered")),
    };
    match close.probes {
        0 => finding,
        count if close.window_closed => {
            finding.observed(format!("the peer's window was 0, and {count} window probes in a row were unanswered"))
        }
        count => finding.observed(format!("{count} probes in a row were unanswered")),
    }
}

/// The verdict on a close; none if it was no failure, or had a RST that was observed.
pub fn diagnose(event: &Event, close: &Close, watch: &Watch) -> Option<Verdict> {
    let is_death = match close.ended_by {
        End::Timeout | End::Other | End::Aborted | End::Abandoned => !close.had_rst,
        // A RST may have been seen, and found no room to be remembered; or come while probes were attached.
        End::Refused | End::RstReceived => {
            !close.ended_by_observed && !event.unremembered && watch.would_have_seen(event)
        }
        End::Fin | End::RstSent | End::Repair => false,
    };
    if !is_death {
        return None;
    }
    ALL.iter().find_map(|death| {
        let found = (death.rule)(event, close)?;
        Some(found.into_verdict(death.id, death.title, death.remedy))
    })
}

#[cfg(test)]
mod tests;
