//! RSTs, and deaths without one, by cause, process and peer.

use std::{collections::HashMap, net::IpAddr};

use crate::{
    event::{Direction, Event, Verdict},
    report::CauseCount,
};

/// Groups that are kept apart. A flood from forged addresses must not take all memory: what comes when there
/// are so many is counted by cause alone.
pub(crate) const GROUPS: usize = 10_000;

#[derive(PartialEq, Eq, Hash)]
struct Group {
    cause: &'static str,
    direction: Option<Direction>,
    /// Process and peer; none for those that came when there were too many groups.
    who: Option<(String, IpAddr)>,
}

/// Counts.
#[derive(Default)]
pub(crate) struct Tally(HashMap<Group, CauseCount>);

impl Tally {
    /// Counts an event, if it has a verdict.
    pub(crate) fn add(&mut self, event: &Event) {
        let Some(verdict) = event.verdict() else { return };
        let who = (process(event), event.remote.ip());
        let mut group = Group { cause: verdict.cause, direction: event.rst().map(|rst| rst.direction), who: Some(who) };
        if self.0.len() >= GROUPS && !self.0.contains_key(&group) {
            group.who = None;
        }
        let count = self.0.entry(group).or_insert_with_key(|group| row(group, verdict, event));
        count.count += 1;
        count.last = event.time;
        count.confidence = count.confidence.min(verdict.confidence);
    }

    /// The counts, the highest first.
    pub(crate) fn rows(self) -> Vec<CauseCount> {
        let mut rows: Vec<_> = self.0.into_values().collect();
        rows.sort_by(|a, b| b.count.cmp(&a.count).then(a.first.cmp(&b.first)));
        rows
    }
}

fn row(group: &Group, verdict: &Verdict, event: &Event) -> CauseCount {
    let (process, peer) = group.who.clone().unzip();
    CauseCount {
        cause: verdict.cause.to_owned(),
        title: verdict.title.to_owned(),
        remedy: verdict.remedy.to_owned(),
        direction: group.direction,
        process,
        peer,
        count: 0,
        confidence: verdict.confidence,
        first: event.time,
        last: event.time,
    }
}

/// The owner's name: one process is one of many of a server's.
fn process(event: &Event) -> String {
    event.last_owner().map_or_else(|| "-".to_owned(), |owner| owner.comm.clone())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::{
        event::{Body, Confidence, Rst, RstKind, Verdict},
        pipeline::diagnose::tests::event,
    };

    /// A flood from forged addresses takes no more memory than some thousand of them, and each RST is counted.
    #[test]
    fn memory_is_bounded() {
        const RSTS: u32 = 50_000;
        let verdict = Verdict {
            cause: "a",
            title: "",
            confidence: Confidence::Likely,
            summary: "".into(),
            evidence: [].into(),
            remedy: "",
            of_peer: false,
        };
        let mut tally = Tally::default();
        for number in 0..RSTS {
            let kind = if number % 2 == 0 { RstKind::Passive } else { RstKind::Peer };
            let rst = Rst { verdict: Some(verdict.clone()), ..Rst::bare(kind) };
            let mut event = event(u64::from(number), "10.0.0.1:80", "10.0.0.2:1", Body::Rst(Box::new(rst)));
            event.remote = SocketAddr::new(Ipv4Addr::from_bits(0x0b00_0000 + number).into(), 4321);
            tally.add(&event);
        }
        let rows = tally.rows();
        assert!(rows.len() > GROUPS && rows.len() <= GROUPS + 4, "{}", rows.len());
        assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), u64::from(RSTS));
    }
}
