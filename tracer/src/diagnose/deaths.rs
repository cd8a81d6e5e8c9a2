//! Why a connection, or an attempt at one, died without a RST: nobody answered, or the network said no.
//!
//! As for RSTs: each cause is a constant with its rule, asked in order, and the last one's always applies.

use super::{Finding, Verdict, actor};
use crate::event::{Close, End, Event, TcpState};

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
pub static ALL: [&Death; 6] =
    [&NO_ANSWER, &USER_TIMEOUT, &RETRANSMISSIONS, &DESTROYED_UNOPENED, &RST_UNSEEN, &UNREACHABLE];

const NO_ANSWER: Death = Death {
    id: "no_answer",
    title: "nobody answered the SYN",
    remedy: "is the address right, the host up, and does no firewall drop the SYN on its way (a closed port would have \
             answered with a RST)? tcp_syn_retries and TCP_SYNCNT set how long this end asks",
    rule: |event, close| {
        let is_one = close.ended_by == End::Timeout && close.old == TcpState::SYN_SENT;
        is_one.then(|| {
            let again = close.retransmits;
            let (who, remote) = (actor::name(event.last_owner()), event.remote);
            timeout(close, format!("{who} got no answer from {remote}; its SYN was sent again {again} times"))
        })
    },
};

const USER_TIMEOUT: Death = Death {
    id: "user_timeout",
    title: "the process's own limit (TCP_USER_TIMEOUT) passed without an acknowledgment",
    remedy: "find out why the other end was not heard: loss or a firewall on the way, a sleeping or overloaded peer; a \
             longer TCP_USER_TIMEOUT bears longer silences",
    rule: |event, close| {
        let is_one = close.ended_by == End::Timeout && close.user_timeout_ms != 0;
        is_one.then(|| {
            let (who, limit) = (actor::name(event.last_owner()), close.user_timeout_ms);
            timeout(close, format!("{} acknowledged nothing for the {limit} ms that {who} allows", event.remote))
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
            let who = actor::name(event.last_owner());
            timeout(close, format!("{} acknowledged nothing any more, so {who}'s kernel gave up", event.remote))
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
            let who = actor::name(event.last_owner());
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
    finding
        .observed(format!("the socket was in {}", close.old))
        .observed(format!("{} retransmissions in a row were not answered", close.unanswered))
}

/// The verdict on a close; none if it was no death, or had a RST that was observed.
pub fn diagnose(event: &Event, close: &Close) -> Option<Verdict> {
    let is_death = match close.ended_by {
        End::Timeout | End::Other | End::Aborted => !close.had_rst,
        // A RST may have been seen, and found no room to be remembered.
        End::Refused | End::RstReceived => !close.ended_by_observed && !event.unremembered,
        End::Fin | End::RstSent | End::Abandoned => false,
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
