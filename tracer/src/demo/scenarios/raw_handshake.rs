//! `raw-handshake`: a raw socket sends a SYN to a listener, and its own kernel resets what comes of it.

use super::forged::{self, Forged, Opening};
use crate::{
    demo::{
        evidence::lives,
        makings::Makings,
        scenario::Script,
        stage::{Network, Stage},
    },
    event::{Event, TcpState},
    report::ScenarioReport,
    testbed::segment::Packet,
};

/// A handshake forged through a raw socket.
pub struct RawHandshake;

/// What the two hosts and the wire know.
pub struct Witness {
    forged: Forged,
    /// RSTs that reached the server.
    rsts_delivered: usize,
}

impl Script for RawHandshake {
    const NAME: &'static str = "raw-handshake";
    const TITLE: &'static str = "a raw socket sends a SYN to a listener: the kernel resets what it knows nothing of";
    type Witness = Witness;

    fn play(&self, stage: &Stage) -> anyhow::Result<Witness> {
        let Opening { network, listener, raw, mut forged, .. } = forged::open(stage, false)?;
        let Network { wire, hosts: [_, server] } = &network;
        wire.wait_delivered("the RST", stage.deadline(), Packet::is_rst)?;
        forged::wait_half_open_gone(server, stage)?;
        drop(raw);
        server.run(move || {
            drop(listener);
            Ok(())
        })?;
        stage.wait_closed(server, 1)?;
        forged.count(stage, &network)?;
        let rsts_delivered = wire.delivered().iter().filter(|packet| packet.is_rst()).count();
        Ok(Witness { forged, rsts_delivered })
    }

    fn judge(&self, events: &[Event], witness: &Witness) -> ScenarioReport {
        let Witness { forged, rsts_delivered } = witness;
        let mut findings = Makings::default();
        forged::judge(&mut findings, events, forged);
        findings.expect(*rsts_delivered > 0, "the RST did not reach the server");
        let server = lives(events, forged.server.netns);
        let opened = server.iter().filter(|life| life.states().contains(&TcpState::ESTABLISHED)).count();
        findings.expect(opened == 0, "the server was seen to get a connection");
        findings.fact("rsts_delivered", *rsts_delivered);
        findings.fact("server_connections", opened);
        findings.report(
            Self::NAME,
            format!(
                "the SYN+ACK from {} to {} found no socket, and the forger's own kernel answered it with a RST",
                forged.server.local, forged.forger.local
            ),
            vec![
                "A raw socket is in neither table, so the lookups for the SYN+ACK missed both.".to_owned(),
                "To a segment without a connection TCP answers with a RST: the kernel sent it, not the process."
                    .to_owned(),
                "The server dropped its half-open connection: the handshake cannot be completed so.".to_owned(),
            ],
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        demo::scenarios::tests::{CLIENT, SERVER, Seen, segment},
        event::{Body, Direction, Flags, Table},
        testbed::segment::SYN_ACK,
    };

    pub(in super::super) fn forged() -> Forged {
        Forged { forger: CLIENT, server: SERVER, half_open: true, pid: 7, received: 1, out_rsts: 1 }
    }

    pub(in super::super) fn seen() -> Seen {
        let mut seen = Seen::default();
        seen.raw_send(CLIENT, segment(Flags::SYN, forged::ISN, 0));
        seen.lookup(CLIENT, Table::Ehash, None);
        seen.lookup(CLIENT, Table::Listener, None);
        seen.rst(CLIENT, Direction::Sent, segment(SYN_ACK, 5, forged::ISN + 1));
        seen
    }

    fn judge(seen: &Seen, forged: Forged) -> ScenarioReport {
        RawHandshake.judge(&seen.events, &Witness { forged, rsts_delivered: 1 })
    }

    #[test]
    fn the_kernel_resets_it() {
        let report = judge(&seen(), forged());
        assert!(report.ok, "{}", report.outcome);
        assert_eq!(report.facts["raw_syn_sent_by"], "7 (forger)");
        assert_eq!(report.facts["rst_reason"], "NO_SOCKET");
    }

    #[test]
    fn each_event_is_needed() {
        for (index, fewer) in seen().without_each() {
            assert!(!judge(&fewer, forged()).ok, "without event {index}");
        }
    }

    #[test]
    fn a_hit_another_reason_or_another_count_is_not_it() {
        let mut hit = seen();
        hit.lookup(CLIENT, Table::Ehash, Some(TcpState::SYN_SENT));
        assert!(!judge(&hit, forged()).ok);
        let mut other_reason = seen();
        if let Body::Rst(rst) = &mut other_reason.events[3].body {
            rst.reason = Some("TCP_FLAGS".into());
        }
        assert!(!judge(&other_reason, forged()).ok);
        assert!(!judge(&seen(), Forged { out_rsts: 2, ..forged() }).ok);
        assert!(!judge(&seen(), Forged { received: 2, ..forged() }).ok);
        assert!(!judge(&seen(), Forged { pid: 1, ..forged() }).ok);
    }

    #[test]
    fn kernels_that_name_no_reason_will_do() {
        let mut seen = seen();
        if let Body::Rst(rst) = &mut seen.events[3].body {
            rst.reason = None;
        }
        assert!(judge(&seen, forged()).ok);
    }
}
