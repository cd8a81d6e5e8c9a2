//! `raw-handshake-filtered`: the forged handshake with the kernel's RSTs dropped on their way out, the
//! well-known trick with a firewall rule. The handshake completes, for the server; the forger's kernel
//! still knows of no connection and makes a RST for every segment of it.

use super::forged::{self, Forged, ISN, Opening};
use crate::{
    demo::{
        evidence::{Life, lives},
        makings::Makings,
        scenario::Script,
        stage::{Network, Stage},
    },
    event::{Event, Flags, TcpState},
    report::ScenarioReport,
    testbed::{filter, tcp},
};

const MESSAGE: &[u8] = b"forged by hand";

/// A forged handshake whose RSTs do not get out.
pub struct RawHandshakeFiltered;

/// What the two hosts, the wire and the filter know.
pub struct Witness {
    forged: Forged,
    /// The accepted socket's state by `TCP_INFO`, and what it read.
    state: TcpState,
    heard: Vec<u8>,
    /// RSTs that the wire brought to the server.
    rsts_delivered: usize,
    /// RSTs that the filter has dropped, by its counter.
    dropped: u64,
}

impl Script for RawHandshakeFiltered {
    const NAME: &'static str = "raw-handshake-filtered";
    const TITLE: &'static str = "the same with outgoing RSTs dropped: the server is deceived, the kernel is not";
    type Witness = Witness;

    fn play(&self, stage: &Stage) -> anyhow::Result<Witness> {
        let Opening { network, listener, raw, answer, mut forged } = forged::open(stage, true)?;
        let Network { wire, hosts: [forger, server] } = &network;
        let (deadline, sent) = (stage.deadline(), ISN + 1 + MESSAGE.len() as u32);
        let acked = answer.seq.wrapping_add(1);
        let raw = forger.run(move || {
            raw.send(Flags::ACK, ISN + 1, acked, &[])?;
            raw.send(Flags::ACK, ISN + 1, acked, MESSAGE)?;
            Ok(raw)
        })?;
        let (listener, accepted, heard, state) = server.run(move || {
            let accepted = tcp::accept(&listener)?;
            let heard = tcp::hear(&accepted, MESSAGE.len())?;
            let state = tcp::state(&accepted)?;
            Ok((listener, accepted, heard, state))
        })?;
        // Both ends close in turn, so that the server's socket does not wait for an answer that never comes.
        let raw = forger.run(move || raw.send(FIN_ACK, sent, acked, &[]).map(|()| raw))?;
        server.run(move || {
            tcp::hear_end(&accepted)?;
            drop((accepted, listener));
            Ok(())
        })?;
        forger.run(move || {
            let fin = raw.receive(Flags::FIN, deadline)?;
            raw.send(Flags::ACK, sent + 1, fin.seq.wrapping_add(fin.len).wrapping_add(1), &[])
        })?;
        stage.wait_closed(server, 2)?;

        forged.count(stage, &network)?;
        Ok(Witness {
            forged,
            state,
            heard,
            rsts_delivered: wire.delivered().iter().filter(|packet| packet.is_rst()).count(),
            dropped: forger.run(filter::dropped)?,
        })
    }

    fn judge(&self, events: &[Event], witness: &Witness) -> ScenarioReport {
        use TcpState as S;
        let Witness { forged, dropped, .. } = witness;
        let mut findings = Makings::default();
        forged::judge(&mut findings, events, forged);
        findings.expect(
            forged.out_rsts == *dropped,
            format!("the kernel made {} RSTs and the filter dropped {dropped}", forged.out_rsts),
        );
        findings.expect(witness.rsts_delivered == 0, "a RST got through the filter");
        let server = lives(events, forged.server.netns);
        let child = server.iter().find(|life| life.passed(&[S::LISTEN, S::SYN_RECV, S::ESTABLISHED]));
        findings.expect(child.is_some(), "the server was not seen to get a connection");
        findings.expect(witness.state == S::ESTABLISHED, "the server's socket does not say that it is ESTABLISHED");
        findings.expect(witness.heard == MESSAGE, "the server did not read what the raw socket sent");

        findings.fact("rsts_dropped_by_filter", *dropped);
        findings.fact("rsts_delivered", witness.rsts_delivered);
        findings.fact("server_states", child.map(Life::path));
        findings.fact("tcp_info", witness.state.to_string());
        findings.fact("bytes_read", witness.heard.len());
        findings.report(
            Self::NAME,
            format!(
                "the kernel made {dropped} RSTs and the filter dropped each, so the server accepted the forged connection \
                 and read {} bytes from it",
                witness.heard.len()
            ),
            vec![
                "The filter changes nothing for the forger's kernel: every segment still missed both tables."
                    .to_owned(),
                "It only keeps the RSTs from the server, which took the forged ACK for the end of a handshake."
                    .to_owned(),
                "Only the server has a connection; its peer is a process that plays one.".to_owned(),
            ],
        )
    }
}

const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);

#[cfg(test)]
mod tests {
    use super::{super::raw_handshake::tests as plain, *};
    use crate::{
        demo::scenarios::tests::{CLIENT, SERVER, Seen, segment},
        event::Direction,
    };

    fn witness() -> Witness {
        Witness {
            forged: Forged { received: 3, out_rsts: 3, ..plain::forged() },
            state: TcpState::ESTABLISHED,
            heard: MESSAGE.to_vec(),
            rsts_delivered: 0,
            dropped: 3,
        }
    }

    fn seen() -> Seen {
        use TcpState as S;
        let mut seen = plain::seen();
        seen.states(SERVER, 1, &[S::LISTEN, S::SYN_RECV, S::ESTABLISHED]);
        seen.rst(CLIENT, Direction::Sent, segment(Flags::ACK, 6, ISN + 1));
        seen.rst(CLIENT, Direction::Sent, segment(FIN_ACK, 6, ISN + 1));
        seen
    }

    #[test]
    fn the_server_is_deceived() {
        let report = RawHandshakeFiltered.judge(&seen().events, &witness());
        assert!(report.ok, "{}", report.outcome);
        assert_eq!(report.facts["rsts_dropped_by_filter"], 3);
    }

    #[test]
    fn each_event_is_needed() {
        for (index, fewer) in seen().without_each() {
            assert!(!RawHandshakeFiltered.judge(&fewer.events, &witness()).ok, "without event {index}");
        }
    }

    #[test]
    fn the_counts_must_agree() {
        let judge = |witness: Witness| RawHandshakeFiltered.judge(&seen().events, &witness).ok;
        assert!(!judge(Witness { dropped: 2, ..witness() }));
        assert!(!judge(Witness { forged: Forged { received: 4, ..witness().forged }, ..witness() }));
        assert!(!judge(Witness { rsts_delivered: 1, ..witness() }));
        assert!(!judge(Witness { heard: Vec::new(), ..witness() }));
    }
}
