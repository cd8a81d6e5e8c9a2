//! Why connections found an accept queue full: nobody accepted them in time.

use std::{collections::VecDeque, net::SocketAddr};

use super::{Confidence, Evidence, Finding, Verdict, case};
use crate::event::{Event, Overflow};

/// What there is to say of it.
#[derive(Debug)]
pub struct Full {
    /// Stable identifier.
    pub id: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// The only cause.
pub static FULL: Full = Full {
    id: "accept_queue_full",
    title: "connections dropped: accept queue full",
    remedy: "the server accepts too slowly: find out what it does instead (`ss -tln` shows its queue as Recv-Q), give \
             it more threads, or a larger backlog in listen() and net.core.somaxconn. Its clients wait for seconds, or \
             consider themselves connected until their data is reset",
};

/// The verdict on it.
pub fn diagnose(event: &Event, overflow: &Overflow) -> Verdict {
    let Overflow { backlog, max_backlog, overflows, drops, listeners, observed, .. } = *overflow;
    let (who, local) = (case::name(event.owner.as_deref()), event.local);
    let summary = format!(
        "{who} accepts too slowly: segments of connections to {local} were dropped {}, because its accept queue was full \
         (backlog {backlog}, limit {max_backlog})",
        // What was counted before anybody looked is not in the number.
        case::counted(overflows.max(1), "time")
    );
    let finding = Finding::new(
        match (observed, listeners) {
            (true, ..=1) => Confidence::Certain,
            (true, _) | (false, ..=1) => Confidence::Likely,
            (false, _) => Confidence::Possible,
        },
        summary,
    )
    .observed(format!("ListenOverflows of the netns rose by {overflows}, ListenDrops by {drops}"));
    let finding = match observed {
        true => {
            finding.observed("a SYN+ACK was retransmitted although it had been answered, while this queue was full")
        }
        false => finding.inferred("this queue was seen to be full, so the counter is attributed to it"),
    };
    let finding = match listeners {
        ..=1 => finding,
        others => finding.observed(format!("the accept queues of {others} listeners in the netns were full")),
    };
    finding.into_verdict(FULL.id, FULL.title, FULL.remedy)
}

/// How long after its queue was told to be full a listener may have dropped a SYN: it is told no more often.
const RECENT_NS: u64 = 15_000_000_000;
/// Listeners that are remembered.
pub(super) const MOST: usize = 256;

/// Listeners of this host whose queues were full, the last one first.
#[derive(Debug, Default)]
pub(super) struct Queues(VecDeque<Seen>);

#[derive(Debug)]
struct Seen {
    mono_ns: u64,
    netns: Option<u32>,
    local: SocketAddr,
    who: String,
}

impl Queues {
    pub(super) fn note(&mut self, event: &Event) {
        self.0.truncate(MOST - 1);
        let Event { mono_ns, netns, local, .. } = *event;
        self.0.push_front(Seen { mono_ns, netns, local, who: case::name(event.owner.as_deref()) });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Of an attempt that got no reply: the listener of this host may not have had a place for it.
    pub(super) fn explain(&self, event: &Event, verdict: Verdict) -> Verdict {
        const UNANSWERED: [&str; 2] = ["no_answer", "connect_abandoned"];
        let is_it = |seen: &&Seen| {
            let ip = event.remote.ip();
            let is_here = seen.local.ip() == ip || seen.local.ip().is_unspecified();
            is_here
                && seen.local.port() == event.remote.port()
                // Another namespace's loopback is another one.
                && (seen.netns == event.netns || !ip.is_loopback())
                && event.mono_ns.saturating_sub(seen.mono_ns) < RECENT_NS
        };
        let Some(seen) = self.0.iter().find(is_it).filter(|_| UNANSWERED.contains(&verdict.cause)) else {
            return verdict;
        };
        let summary = format!("{}; the accept queue of {}, which listens there, was full", verdict.summary, seen.who);
        let text = "that listener dropped its SYNs".to_owned();
        let evidence = verdict.evidence.iter().cloned().chain([Evidence { text, inferred: true }]);
        Verdict {
            cause: FULL.id,
            title: FULL.title,
            remedy: FULL.remedy,
            confidence: Confidence::Likely,
            summary: summary.into(),
            evidence: evidence.collect(),
            of_peer: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Body, Rst, RstKind},
        pipeline::diagnose::tests::event,
    };

    #[test]
    fn who_was_not_answered_by_a_full_listener_is_told_so() {
        let other = || Body::Rst(Box::new(Rst::bare(RstKind::Passive)));
        let verdict = |cause| Verdict { cause, ..Finding::certain("curl[7] gave up").into_verdict("", "", "") };
        let mut queues = Queues::default();
        queues.note(&event(1_000_000_000, "0.0.0.0:80", "0.0.0.0:0", other()));
        let told =
            |mono_ns, remote, cause| queues.explain(&event(mono_ns, "10.0.0.1:4321", remote, other()), verdict(cause));
        let explained = told(2_000_000_000, "10.0.0.2:80", "connect_abandoned");
        assert_eq!((explained.cause, explained.confidence), (FULL.id, Confidence::Likely));
        assert_eq!(
            &*explained.summary,
            "curl[7] gave up; the accept queue of nginx[812], which listens there, was full"
        );
        assert_eq!(told(2_000_000_000, "10.0.0.2:81", "connect_abandoned").cause, "connect_abandoned");
        assert_eq!(told(2_000_000_000, "10.0.0.2:80", "zero_window").cause, "zero_window");
        assert_eq!(told(60_000_000_000, "10.0.0.2:80", "no_answer").cause, "no_answer");
    }
}
