//! Whether a RST that was not seen was not sent.

use crate::event::Event;

/// For how long before and after a loss was noticed nothing is concluded, in nanoseconds.
const DIM_NS: u64 = 2_000_000_000;

/// What is known of the RSTs that this host sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sight {
    is_partial: bool,
    lost_ns: Option<u64>,
}

impl Sight {
    /// Some are not reported.
    pub(super) fn misses_sent(&mut self) {
        self.is_partial = true;
    }

    /// Events were lost until then.
    pub(super) fn lose(&mut self, mono_ns: u64) {
        self.lost_ns = Some(mono_ns);
    }

    /// Had a kernel of this host sent a RST at the time of this event, it would have been reported.
    pub(super) fn sees_sent(&self, event: &Event) -> bool {
        !self.is_partial && self.lost_ns.is_none_or(|lost| lost.abs_diff(event.mono_ns) > DIM_NS)
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
    fn what_was_lost_or_left_out_may_have_been_sent() {
        let at = |mono_ns| event(mono_ns, "10.0.0.1:80", "10.0.0.2:81", Body::Rst(Box::new(Rst::bare(RstKind::Peer))));
        let mut sight = Sight::default();
        assert!(sight.sees_sent(&at(10)));
        sight.lose(DIM_NS);
        assert!(!sight.sees_sent(&at(10)) && !sight.sees_sent(&at(2 * DIM_NS)) && sight.sees_sent(&at(2 * DIM_NS + 1)));
        sight.misses_sent();
        assert!(!sight.sees_sent(&at(9 * DIM_NS)));
    }
}
