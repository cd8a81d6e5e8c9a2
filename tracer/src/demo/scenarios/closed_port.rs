//! `closed-port`: a connect that is refused (RFC 9293 section 3.5.2, group 1).

use std::io;

use crate::{
    demo::{
        evidence::{Life, Tuple, answers_no_socket, first_lookup, lives, resets},
        makings::Makings,
        scenario::Script,
        stage::{Network, Stage},
    },
    event::{Body, Direction, Event, Flags, TcpState},
    kernel::probes::Probe,
    report::ScenarioReport,
    testbed::{segment::Packet, tcp},
};

/// A client connects to a port without a listener.
pub struct ClosedPort;

/// What the two hosts know.
pub struct Witness {
    client: Tuple,
    server: Tuple,
    /// How connect() ended.
    error: Option<io::Error>,
    /// `tcpOutRsts` of the server's namespace.
    out_rsts: u64,
}

impl Script for ClosedPort {
    const NAME: &'static str = "closed-port";
    const TITLE: &'static str = "a client connects to a port without a listener: the RST, seen from both sides";
    type Witness = Witness;

    fn play(&self, stage: &Stage) -> anyhow::Result<Witness> {
        let Network { wire, hosts: [client, server] } = &stage.network(["client", "server"])?;
        let (from, to, left) = (stage.endpoint(0, 40_000), stage.endpoint(1, 81), stage.left());
        wire.hold(Packet::is_syn);
        let socket = client.run(move || tcp::connecting(from, to, left))?;
        wire.wait_held("the SYN", stage.deadline(), |held| !held.is_empty())?;
        stage.look_up(server, to, from)?;
        wire.release()?;
        let error = client.run(move || Ok(tcp::connected(&socket)?.err()))?;
        let (at_client, at_server) = (Some(client.netns()), Some(server.netns()));
        let is_rst = |event: &Event, wanted| matches!(&event.body, Body::Rst(rst) if rst.direction == wanted);
        stage.wait(Probe::RstSentPassive, "the RST that the server sends", |event| {
            event.netns == at_server && is_rst(event, Direction::Sent)
        })?;
        stage.wait(Probe::RstReceived, "the RST that the client receives", |event| {
            event.netns == at_client && is_rst(event, Direction::Received)
        })?;
        stage.wait_closed(client, 1)?;
        Ok(Witness {
            client: Tuple { netns: client.netns(), local: from, remote: to },
            server: Tuple { netns: server.netns(), local: to, remote: from },
            error,
            out_rsts: server.out_rsts()?,
        })
    }

    fn judge(&self, events: &[Event], witness: &Witness) -> ScenarioReport {
        use TcpState as S;
        let mut findings = Makings::default();
        let Witness { client, server, error, out_rsts } = witness;
        let lookup = first_lookup(events, *server);
        findings.expect(lookup.ehash_hit() == Some(false), "the SYN was not seen to miss the established hash");
        findings.expect(lookup.listener_hit() == Some(false), "the SYN was not seen to miss the listeners");

        let sent = resets(events, server.netns, Direction::Sent);
        let answers_syn =
            |trigger: crate::event::Segment| trigger.flags.contains(Flags::SYN) && !trigger.flags.contains(Flags::ACK);
        let refusals = sent.iter().filter(|rst| answers_no_socket(rst) && rst.trigger.is_some_and(answers_syn));
        findings.expect(refusals.count() > 0, "no RST was seen to answer the SYN for want of a socket");
        findings.expect(
            sent.len() as u64 == *out_rsts,
            format!("{} RSTs were seen, but the kernel counted {out_rsts}", sent.len()),
        );
        let received = resets(events, client.netns, Direction::Received);
        findings.expect(
            received.len() == 1,
            format!("the client was seen to receive {} RSTs in place of one", received.len()),
        );
        let lives = lives(events, client.netns);
        let life = lives.iter().find(|life| life.passed(&[S::CLOSE, S::SYN_SENT, S::CLOSE]));
        findings.expect(life.is_some(), "the client's socket was not seen to go SYN_SENT -> CLOSE");
        let refused = error.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        findings.expect(refused, "connect() did not end with ECONNREFUSED");

        findings.fact("syn_lookup", lookup.fact());
        findings.fact("rsts_seen", sent.len());
        findings.fact("out_rsts", *out_rsts);
        findings.fact("rst_reason", sent.first().and_then(|rst| rst.reason.clone()));
        findings.fact("client_states", life.map(Life::path));
        findings.fact("connect_error", error.as_ref().map(ToString::to_string));
        findings.report(
            Self::NAME,
            format!("{} refused {}: the SYN found neither a connection nor a listener", server.local, client.local),
            vec![
                "The SYN missed the established hash and the listeners, so the server's kernel answered with a RST."
                    .to_owned(),
                "That RST ended the client's SYN_SENT: connect() returned \"connection refused\".".to_owned(),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        demo::scenarios::tests::{CLIENT, SERVER, Seen, segment},
        event::Table,
    };

    fn witness() -> Witness {
        let error = Some(io::Error::from_raw_os_error(libc::ECONNREFUSED));
        Witness { client: CLIENT, server: SERVER, error, out_rsts: 1 }
    }

    fn seen() -> Seen {
        use TcpState as S;
        let mut seen = Seen::default();
        seen.lookup(SERVER, Table::Ehash, None);
        seen.lookup(SERVER, Table::Listener, None);
        seen.rst(SERVER, Direction::Sent, segment(Flags::SYN, 5, 0));
        seen.rst(CLIENT, Direction::Received, segment(Flags::RST, 0, 6));
        seen.states(CLIENT, 1, &[S::CLOSE, S::SYN_SENT, S::CLOSE]);
        seen
    }

    #[test]
    fn a_refusal_is_seen_from_both_ends() {
        let report = ClosedPort.judge(&seen().events, &witness());
        assert!(report.ok, "{}", report.outcome);
        assert_eq!(report.facts["client_states"], "CLOSE -> SYN_SENT -> CLOSE");
    }

    #[test]
    fn each_event_is_needed() {
        for (index, fewer) in seen().without_each() {
            assert!(!ClosedPort.judge(&fewer.events, &witness()).ok, "without event {index}");
        }
    }

    #[test]
    fn a_listener_or_another_error_is_no_refusal() {
        let mut with_listener = seen();
        with_listener.events.remove(1);
        with_listener.lookup(SERVER, Table::Listener, Some(TcpState::LISTEN));
        assert!(!ClosedPort.judge(&with_listener.events, &witness()).ok);
        assert!(!ClosedPort.judge(&seen().events, &Witness { error: None, ..witness() }).ok);
        assert!(!ClosedPort.judge(&seen().events, &Witness { out_rsts: 2, ..witness() }).ok);
    }
}
