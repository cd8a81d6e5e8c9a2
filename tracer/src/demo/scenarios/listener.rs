//! `listener`: the ordinary handshake (RFC 9293 section 3.5, figure 6), for comparison.

use anyhow::Context as _;

use crate::{
    demo::{
        evidence::{Life, Tuple, any_listener, first_lookup, lives},
        makings::Makings,
        scenario::Script,
        stage::{Network, Stage},
    },
    event::{Event, TcpState},
    report::ScenarioReport,
    testbed::{segment::Packet, tcp},
};

const GREETING: &[u8] = b"hello, listener";

/// A client connects to a server that listens.
pub struct Listener;

/// What the two hosts know.
pub struct Witness {
    client: Tuple,
    server: Tuple,
    /// By `TCP_INFO`: the client's end, the server's end.
    states: [TcpState; 2],
    heard: Vec<u8>,
}

impl Script for Listener {
    const NAME: &'static str = "listener";
    const TITLE: &'static str = "a client connects to a server that listens: the ordinary handshake, for comparison";
    type Witness = Witness;

    fn play(&self, stage: &Stage) -> anyhow::Result<Witness> {
        let Network { wire, hosts: [client, server] } = &stage.network(["client", "server"])?;
        let (from, to, left) = (stage.endpoint(0, 40_000), stage.endpoint(1, 80), stage.left());
        let listener = server.run(move || tcp::listening(to, left))?;
        wire.hold(Packet::is_syn);
        let socket = client.run(move || tcp::connecting(from, to, left))?;
        wire.wait_held("the SYN", stage.deadline(), |held| !held.is_empty())?;
        stage.look_up(server, to, from)?;
        wire.release()?;
        let socket = client.run(move || {
            tcp::connected(&socket)?.context("the server refused the connection")?;
            tcp::say(&socket, GREETING)?;
            Ok(socket)
        })?;
        let (listener, accepted, heard) = server.run(move || {
            let accepted = tcp::accept(&listener)?;
            let heard = tcp::hear(&accepted, GREETING.len())?;
            Ok((listener, accepted, heard))
        })?;
        let states = [tcp::state(&socket)?, tcp::state(&accepted)?];
        client.run(move || {
            drop(socket);
            Ok(())
        })?;
        server.run(move || {
            tcp::hear_end(&accepted)?;
            drop((accepted, listener));
            Ok(())
        })?;
        stage.wait_closed(client, 1)?;
        stage.wait_closed(server, 2)?;
        Ok(Witness {
            client: Tuple { netns: client.netns(), local: from, remote: to },
            server: Tuple { netns: server.netns(), local: to, remote: from },
            states,
            heard,
        })
    }

    fn judge(&self, events: &[Event], witness: &Witness) -> ScenarioReport {
        use TcpState as S;
        let mut findings = Makings::default();
        let (client, server) = (lives(events, witness.client.netns), lives(events, witness.server.netns));
        let lookup = first_lookup(events, witness.server);

        let listens = server.iter().any(|life| life.passed(&[S::CLOSE, S::LISTEN]));
        findings.expect(listens, "no listener was seen on the server");
        findings.expect(!any_listener(&client), "the client was not seen without a listener");
        findings.expect(lookup.ehash_hit() == Some(false), "the SYN was not seen to miss the established hash");
        findings.expect(lookup.listener_hit() == Some(true), "the SYN was not seen to find the listener");
        let active = client.iter().find(|life| life.passed(&[S::CLOSE, S::SYN_SENT, S::ESTABLISHED]));
        findings.expect(active.is_some(), "no socket of the client was seen to open actively");
        let passive = server.iter().find(|life| life.passed(&[S::LISTEN, S::SYN_RECV, S::ESTABLISHED]));
        findings.expect(passive.is_some(), "no socket of the server was seen to open passively");
        findings.expect(witness.states == [S::ESTABLISHED; 2], "the sockets do not say that they are ESTABLISHED");
        findings.expect(witness.heard == GREETING, "the server did not read what the client wrote");

        findings.fact("client_states", active.map(Life::path));
        findings.fact("server_states", passive.map(Life::path));
        findings.fact("syn_lookup", lookup.fact());
        findings.fact("tcp_info", witness.states.map(|state| state.to_string()).to_vec());
        findings.fact("bytes_read", witness.heard.len());
        findings.report(
            Self::NAME,
            format!(
                "{} reached {} through a listener: the SYN missed the established hash and found the listening socket",
                witness.client.local, witness.client.remote
            ),
            vec![
                "The SYN belonged to no connection, so the kernel went on to the listeners and found one.".to_owned(),
                "From then on both ends have a socket of their own in the established hash; the listener's part is over."
                    .to_owned(),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        demo::scenarios::tests::{CLIENT, SERVER, Seen},
        event::Table,
    };

    fn witness() -> Witness {
        Witness { client: CLIENT, server: SERVER, states: [TcpState::ESTABLISHED; 2], heard: GREETING.to_vec() }
    }

    fn seen() -> Seen {
        use TcpState as S;
        let mut seen = Seen::default();
        seen.states(SERVER, 1, &[S::CLOSE, S::LISTEN]);
        seen.states(CLIENT, 2, &[S::CLOSE, S::SYN_SENT, S::ESTABLISHED]);
        seen.lookup(SERVER, Table::Ehash, None);
        seen.lookup(SERVER, Table::Listener, Some(S::LISTEN));
        seen.states(SERVER, 3, &[S::LISTEN, S::SYN_RECV, S::ESTABLISHED]);
        seen
    }

    #[test]
    fn an_ordinary_handshake() {
        let report = Listener.judge(&seen().events, &witness());
        assert!(report.ok, "{}", report.outcome);
        assert_eq!(report.facts["syn_lookup"]["listener"], "LISTEN");
        assert_eq!(report.facts["client_states"], "CLOSE -> SYN_SENT -> ESTABLISHED");
    }

    #[test]
    fn each_part_is_needed() {
        for (index, fewer) in seen().without_each() {
            assert!(!Listener.judge(&fewer.events, &witness()).ok, "without event {index}");
        }
        let mute = Witness { heard: Vec::new(), ..witness() };
        assert!(!Listener.judge(&seen().events, &mute).ok);
    }
}
