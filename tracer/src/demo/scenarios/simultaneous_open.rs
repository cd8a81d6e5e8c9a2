//! `simultaneous-open`: two hosts connect to each other, and their SYNs cross (RFC 9293 section 3.5,
//! figure 7). The wire holds both SYNs until both are there, so they cross every time.

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
    testbed::{host::Host, segment::Packet, tcp},
};

const NAMES: [&str; 2] = ["left", "right"];
const PORTS: [u16; 2] = [1234, 4321];
const GREETINGS: [&[u8]; 2] = [b"hello from the left", b"hello from the right"];

/// Two hosts connect to each other at the same time.
pub struct SimultaneousOpen;

/// What the two hosts know, in the order left, right.
pub struct Witness {
    tuples: [Tuple; 2],
    /// By `TCP_INFO`.
    states: [TcpState; 2],
    heard: [Vec<u8>; 2],
}

impl Script for SimultaneousOpen {
    const NAME: &'static str = "simultaneous-open";
    const TITLE: &'static str = "two hosts connect to each other and their SYNs cross: no listener on either";
    type Witness = Witness;

    fn play(&self, stage: &Stage) -> anyhow::Result<Witness> {
        let Network { wire, hosts: [left, right] } = &stage.network(NAMES)?;
        let ends = [stage.endpoint(0, PORTS[0]), stage.endpoint(1, PORTS[1])];
        let tuples = [
            Tuple { netns: left.netns(), local: ends[0], remote: ends[1] },
            Tuple { netns: right.netns(), local: ends[1], remote: ends[0] },
        ];
        let timeout = stage.left();
        let open = |host: &Host, Tuple { local, remote, .. }| host.run(move || tcp::connecting(local, remote, timeout));
        wire.hold(Packet::is_syn);
        let (a, b) = (open(left, tuples[0])?, open(right, tuples[1])?);
        wire.wait_held("both SYNs", stage.deadline(), |held| {
            ends.iter().all(|end| held.iter().any(|syn| syn.source == *end))
        })?;
        for (host, tuple) in [left, right].into_iter().zip(tuples) {
            stage.look_up(host, tuple.local, tuple.remote)?;
        }
        wire.release()?;
        let greet = |host: &Host, socket, greeting| {
            host.run(move || {
                tcp::connected(&socket)?.context("the connection was refused")?;
                tcp::say(&socket, greeting)?;
                Ok(socket)
            })
        };
        let (a, b) = (greet(left, a, GREETINGS[0])?, greet(right, b, GREETINGS[1])?);
        let (a, heard_left) = left.run(move || tcp::hear(&a, GREETINGS[1].len()).map(|heard| (a, heard)))?;
        let (b, heard_right) = right.run(move || tcp::hear(&b, GREETINGS[0].len()).map(|heard| (b, heard)))?;
        let states = [tcp::state(&a)?, tcp::state(&b)?];
        left.run(move || {
            drop(a);
            Ok(())
        })?;
        right.run(move || tcp::hear_end(&b))?;
        stage.wait_closed(left, 1)?;
        stage.wait_closed(right, 1)?;
        Ok(Witness { tuples, states, heard: [heard_left, heard_right] })
    }

    fn judge(&self, events: &[Event], witness: &Witness) -> ScenarioReport {
        use TcpState as S;
        let mut findings = Makings::default();
        for (name, tuple) in NAMES.into_iter().zip(witness.tuples) {
            let lives = lives(events, tuple.netns);
            let lookup = first_lookup(events, tuple);
            let path = [S::CLOSE, S::SYN_SENT, S::SYN_RECV, S::ESTABLISHED];
            let life = lives.iter().find(|life| life.passed(&path));
            findings.expect(
                life.is_some(),
                format!("no socket on the {name} was seen to go CLOSE -> SYN_SENT -> SYN_RECV -> ESTABLISHED"),
            );
            findings.expect(lives.len() == 1, format!("{} sockets were seen on the {name}", lives.len()));
            findings.expect(!any_listener(&lives), format!("a socket on the {name} was seen to listen"));
            let hashed = life.and_then(|life| life.hashed_at(S::SYN_SENT, S::SYN_RECV));
            findings.expect(
                lookup.ehash_hit() == Some(true) && hashed != Some(false),
                format!("the SYN was not seen to find the connecting socket on the {name}"),
            );
            findings.fact(&format!("{name}_states"), life.map(Life::path));
            findings.fact(&format!("{name}_syn_lookup"), lookup.fact());
        }
        findings.expect(witness.states == [S::ESTABLISHED; 2], "the sockets do not say that they are ESTABLISHED");
        let crossed = witness.heard[0] == GREETINGS[1] && witness.heard[1] == GREETINGS[0];
        findings.expect(crossed, "the data did not go both ways");
        findings.fact("tcp_info", witness.states.map(|state| state.to_string()).to_vec());
        findings.fact("bytes_read", witness.heard.each_ref().map(Vec::len).to_vec());
        findings.report(
            Self::NAME,
            format!(
                "{} and {} connected to each other: both went SYN_SENT -> SYN_RECV -> ESTABLISHED without a listener",
                witness.tuples[0].local, witness.tuples[1].local
            ),
            vec![
                "Each SYN met a socket in SYN_SENT, which connect() had put in the established hash.".to_owned(),
                "To such a socket a SYN is as good as a SYN+ACK: it answered and got its own answer back.".to_owned(),
                "Both ends connected, neither listened, and data went both ways.".to_owned(),
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
        Witness {
            tuples: [CLIENT, SERVER],
            states: [TcpState::ESTABLISHED; 2],
            heard: [GREETINGS[1].to_vec(), GREETINGS[0].to_vec()],
        }
    }

    fn seen() -> Seen {
        use TcpState as S;
        let mut seen = Seen::default();
        for (tuple, sock) in [(CLIENT, 1), (SERVER, 2)] {
            seen.lookup(tuple, Table::Ehash, Some(S::SYN_SENT));
            seen.states(tuple, sock, &[S::CLOSE, S::SYN_SENT, S::SYN_RECV, S::ESTABLISHED]);
        }
        seen
    }

    #[test]
    fn both_ends_open_without_a_listener() {
        let report = SimultaneousOpen.judge(&seen().events, &witness());
        assert!(report.ok, "{}", report.outcome);
        assert_eq!(report.facts["right_states"], "CLOSE -> SYN_SENT -> SYN_RECV -> ESTABLISHED");
    }

    #[test]
    fn each_event_is_needed() {
        for (index, fewer) in seen().without_each() {
            assert!(!SimultaneousOpen.judge(&fewer.events, &witness()).ok, "without event {index}");
        }
    }

    #[test]
    fn an_ordinary_open_is_not_one() {
        use TcpState as S;
        let mut seen = Seen::default();
        seen.lookup(CLIENT, Table::Ehash, Some(S::SYN_SENT));
        seen.states(CLIENT, 1, &[S::CLOSE, S::SYN_SENT, S::ESTABLISHED]);
        seen.states(SERVER, 2, &[S::CLOSE, S::LISTEN]);
        let report = SimultaneousOpen.judge(&seen.events, &witness());
        assert!(!report.ok);
        assert!(report.outcome.contains("a socket on the right was seen to listen"), "{}", report.outcome);
    }
}
