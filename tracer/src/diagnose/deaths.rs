//! Why a connection, or an attempt at one, died without a RST: nobody answered, or the network said no.
//!
//! As for RSTs: each cause is a constant with its rule, asked in order, and the last one's always applies.

use tracer_ebpf::record::{GAVE_UP_NS, KILLED_WAITING_NS};

use super::{Confidence, Finding, Verdict, Watch, actor, case};
use crate::event::{Close, End, Event, Reader, TcpState};

/// A cause of deaths without a RST.
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
    title: "nobody answered the SYN",
    remedy: "is the address right, the host up, and does no firewall drop the SYN on its way (a closed port would have \
             answered with a RST)? tcp_syn_retries and TCP_SYNCNT set how long this end asks",
    rule: |event, close| {
        let is_one = close.ended_by == End::Timeout && close.old == TcpState::SYN_SENT;
        is_one.then(|| {
            let again = close.retransmits;
            let (who, remote) = (case::name(event.last_owner()), event.remote);
            timeout(close, format!("{who} got no answer from {remote}; its SYN was sent again {again} times"))
        })
    },
};

const ABANDONED: Death = Death {
    id: "connect_abandoned",
    title: "the process gave up before anybody answered its SYN",
    remedy: "is the address right, the host up, and does no firewall drop the SYN on its way (a closed port would have \
             answered with a RST)? Where the other end is only slow or far away, give the process's own connect timeout \
             more time",
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
    title: "the other end answered, and took no data",
    remedy: "its process does not read what has come: find out what it waits for (`ss -tnp` there shows its Recv-Q). \
             TCP_USER_TIMEOUT limits how long that is borne, tcp_orphan_retries how long after close()",
    rule: |event, close| {
        // What is in flight when the receiver's buffer fills up is dropped there, and answered by a window of 0: it is sent
        // again as window probes are (tcp_retransmit_timer in net/ipv4/tcp_timer.c).
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
            dropped => format!("{} bytes of {who} never got into its buffer", u64::from(unsent) + u64::from(dropped)),
        };
        let bears = if limit == 0 { String::new() } else { format!(" for the {limit} ms that {who} allows") };
        let summary = match &close.reader {
            Some(Reader { pid, comm, unread }) => format!(
                "{comm}[{pid}] did not read: with {unread} bytes unread {remote} took no more{bears}, so {never}"
            ),
            None => format!("{remote} answered with a window of 0{bears}, so {never}"),
        };
        let is_seen = close.unacked == 0 || close.reader.as_ref().is_some_and(|reader| reader.unread > 0);
        // Each probe that is answered sets the count to 0 (tcp_ack in net/ipv4/tcp_input.c).
        let finding = match close.probes {
            0 if close.idle_ms.is_none() || !is_seen => {
                Finding::likely(summary).observed("no window probe was left unanswered")
            }
            0 => Finding::certain(summary).observed("no window probe was left unanswered"),
            count => {
                Finding::likely(summary).observed(format!("{count} window probes in a row were not answered")).inferred(
                    "a host answers no more than two in a second (tcp_invalid_ratelimit), so it may be there still",
                )
            }
        };
        let finding = finding.observed(match close.idle_ms {
            Some(idle) => format!("the other end was last heard {idle} ms before, and its window was 0"),
            None => "the other end's window was 0".to_owned(),
        });
        Some(finding.observed(format!("the socket was in {}", close.old)))
    },
};

/// Between two window probes there is no longer time (`TCP_RTO_MAX`), and a little for the answer.
const LONGEST_PROBE_MS: u64 = 125_000;

const USER_TIMEOUT: Death = Death {
    id: "user_timeout",
    title: "the process's own limit (TCP_USER_TIMEOUT) passed without an acknowledgment",
    remedy: "find out why the other end was not heard: loss or a firewall on the way, a sleeping or overloaded peer; a \
             longer TCP_USER_TIMEOUT bears longer silences",
    rule: |event, close| {
        let is_one = close.ended_by == End::Timeout && close.user_timeout_ms != 0;
        is_one.then(|| {
            let (who, limit) = (case::name(event.last_owner()), close.user_timeout_ms);
            timeout(close, format!("{} acknowledged no data for the {limit} ms that {who} allows", event.remote))
                .observed(format!("TCP_USER_TIMEOUT of the socket is {limit} ms"))
        })
    },
};

const RETRANSMISSIONS: Death = Death {
    id: "retransmission_timeout",
    title: "retransmissions were not acknowledged",
    remedy: "find out why the other end was not heard: loss or a firewall on the way, a host that is down; \
             tcp_retries2 sets how long this end tries, TCP_USER_TIMEOUT that for one socket",
    rule: |event, close| {
        (close.ended_by == End::Timeout).then(|| {
            let (who, remote) = (case::name(event.last_owner()), event.remote);
            timeout(
                close,
                format!("this host's kernel gave the connection of {who} up: {remote} acknowledged no more data"),
            )
        })
    },
};

const DESTROYED_UNOPENED: Death = Death {
    id: "destroyed_unopened",
    title: "an administrator destroyed a socket that had no connection yet",
    remedy: "somebody used `ss -K`, or a manager of the network did (Android, Cilium, an address that was removed): ask \
             who",
    rule: |event, close| {
        (close.ended_by == End::Aborted).then(|| {
            let who = case::name(event.last_owner());
            Finding::certain(format!("somebody aborted the connect of {who} from outside (sock_diag)"))
                .observed("the socket was closed with ECONNABORTED")
        })
    },
};

const RST_UNSEEN: Death = Death {
    id: "rst_unseen",
    title: "a RST came that was not observed",
    remedy: "`tracer doctor` tells why RSTs that come are not observed here",
    rule: |event, close| {
        (close.ended_by == End::RstReceived).then(|| {
            let summary = format!("{} reset the connection, and no probe saw the RST", event.remote);
            Finding::likely(summary).inferred("the socket's error is one that a RST leaves")
        })
    },
};

const UNREACHABLE: Death = Death {
    id: "unreachable",
    title: "the network said that the other end cannot be reached",
    remedy: "a router or a host's firewall answered with ICMP: look at the route to that address (`ip route get`), and \
             at the filters on the way; `traceroute -T` shows where it ends",
    rule: |event, close| {
        if close.ended_by == End::Abandoned {
            return None;
        }
        let finding = match &close.error {
            Some(error) => Finding::likely(format!("{} cannot be reached: {error}", event.remote))
                .inferred("ICMP brings such an error"),
            None => Finding::possible(format!("{} cannot be reached, or did not answer", event.remote))
                .inferred("the process took the socket's error before it was closed"),
        };
        Some(finding.observed(format!("the socket was in {}", close.old)))
    },
};

/// A finding about a timeout.
fn timeout(close: &Close, summary: String) -> Finding {
    let finding = match close.ended_by_observed {
        true => Finding::certain(summary).observed("the socket was closed with ETIMEDOUT"),
        false => {
            Finding::likely(summary).inferred("by a timer: the process took the socket's error before it was closed")
        }
    };
    let finding = finding.observed(format!("the socket was in {}", close.old));
    let finding = match close.unanswered {
        0 => finding,
        count => finding.observed(format!("{count} retransmissions in a row were not answered")),
    };
    match close.probes {
        0 => finding,
        count if close.window_closed => {
            finding.observed(format!("its window was 0, and {count} probes of it in a row were not answered"))
        }
        count => finding.observed(format!("{count} probes in a row were not answered")),
    }
}

/// The verdict on a close; none if it was no death, or had a RST that was observed.
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
