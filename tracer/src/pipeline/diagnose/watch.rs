//! From when to when all that matters was observed.

use crate::event::Event;

/// How long after the last probe was attached something may still come of what was under way then: a RST that the
/// probe was too late for, and the end of the connection.
const SETTLED_NS: u64 = 50_000_000;

/// A time on `CLOCK_MONOTONIC`, in nanoseconds, in which every probe was attached. What happens before and after is seen
/// by some of them only: it explains other events, and is not reported itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    since: u64,
    until: u64,
}

impl Default for Watch {
    /// Always.
    fn default() -> Self {
        Self::since(0)
    }
}

impl Watch {
    /// From then on.
    pub fn since(mono_ns: u64) -> Self {
        Self { since: mono_ns, until: u64::MAX }
    }

    /// Up to then, and no further.
    pub fn stop(&mut self, mono_ns: u64) {
        self.until = self.until.min(mono_ns);
    }

    /// It happened within that time.
    pub fn covers(&self, event: &Event) -> bool {
        (self.since..self.until).contains(&event.mono_ns)
    }

    /// It happened when that time was over.
    pub fn is_over_at(&self, mono_ns: u64) -> bool {
        mono_ns >= self.until
    }

    /// For how long everything had been observed when it happened, in nanoseconds: what did not happen in that time may
    /// have happened before.
    pub fn before(&self, event: &Event) -> u64 {
        event.mono_ns.saturating_sub(self.since)
    }

    /// That nothing was seen of its cause tells that there was none to see.
    pub fn would_have_seen(&self, event: &Event) -> bool {
        self.before(event) >= SETTLED_NS
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
    fn what_is_neither_before_nor_after_is_reported() {
        let at = |mono_ns| event(mono_ns, "10.0.0.1:80", "10.0.0.2:81", Body::Rst(Box::new(Rst::bare(RstKind::Peer))));
        let mut watch = Watch::since(100);
        let covered = |watch: &Watch, times: [u64; 4]| times.map(|time| watch.covers(&at(time)));
        assert_eq!(covered(&watch, [99, 100, 200, u64::MAX - 1]), [false, true, true, true]);
        watch.stop(200);
        assert_eq!(covered(&watch, [99, 100, 199, 200]), [false, true, true, false]);
        assert!(watch.is_over_at(200) && !watch.is_over_at(199));
        watch.stop(300);
        assert!(!watch.covers(&at(250)), "it ends once");
        assert_eq!(watch.before(&at(50)), 0);
        assert!(watch.would_have_seen(&at(100 + SETTLED_NS)) && !watch.would_have_seen(&at(99 + SETTLED_NS)));
    }
}
