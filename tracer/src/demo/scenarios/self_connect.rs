//! `self-connect`: one socket, bound to an address and port, connects to just that address and port.
//!
//! Its SYN comes back to itself: to a socket in SYN_SENT that is a simultaneous open (RFC 9293 section
//! 3.5, figure 7) with one party playing both parts.

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::{
    demo::{
        evidence::{Life, Tuple, any_listener, first_lookup, lives},
        makings::Makings,
        scenario::Script,
        stage::Stage,
    },
    event::{Event, TcpState},
    host::{
        netstat::{self, Program},
        sock_diag::{self, TcpSocket},
    },
    report::ScenarioReport,
    testbed::{link, tcp},
};

const MESSAGE: &[u8] = b"to myself, by TCP, with nobody listening";
const PORT: u16 = 1234;

/// A socket connects to itself.
pub struct SelfConnect;

/// What the host knows.
pub struct Witness {
    tuple: Tuple,
    /// By `TCP_INFO`.
    state: TcpState,
    heard: Vec<u8>,
    /// All TCP sockets of the namespace while connected, by sock_diag.
    sockets: Vec<TcpSocket>,
    program: Option<Program>,
}

impl Script for SelfConnect {
    const NAME: &'static str = "self-connect";
    const TITLE: &'static str = "one socket connects to itself: a TCP connection without any listener";
    type Witness = Witness;

    fn play(&self, stage: &Stage) -> anyhow::Result<Witness> {
        let host = stage.host("self-connect")?;
        let (end, left, family) = (stage.endpoint(0, PORT), stage.left(), stage.family());
        let socket = host.run(move || {
            link::add_address(link::LOOPBACK, end.ip(), if end.is_ipv4() { 32 } else { 128 })?;
            let socket = tcp::connecting(end, end, left)?;
            tcp::connected(&socket)?.context("the connection was refused")?;
            Ok(socket)
        })?;
        stage.look_up(&host, end, end)?;
        let (socket, heard, state, sockets) = host.run(move || {
            tcp::say(&socket, MESSAGE)?;
            let heard = tcp::hear(&socket, MESSAGE.len())?;
            let state = tcp::state(&socket)?;
            Ok((socket, heard, state, sock_diag::list(family)?))
        })?;
        let program = sockets.first().and_then(|socket| netstat::program(socket.inode));
        host.run(move || {
            drop(socket);
            Ok(())
        })?;
        stage.wait_closed(&host, 1)?;
        let tuple = Tuple { netns: host.netns(), local: end, remote: end };
        Ok(Witness { tuple, state, heard, sockets, program })
    }

    fn judge(&self, events: &[Event], witness: &Witness) -> ScenarioReport {
        use TcpState as S;
        let mut findings = Makings::default();
        let end = witness.tuple.local;
        let lives = lives(events, witness.tuple.netns);
        let lookup = first_lookup(events, witness.tuple);

        findings.expect(lives.len() == 1, format!("{} sockets were seen in place of one", lives.len()));
        let path = [S::CLOSE, S::SYN_SENT, S::SYN_RECV, S::ESTABLISHED];
        let life = lives.iter().find(|life| life.passed(&path));
        findings.expect(life.is_some(), "no socket was seen to go CLOSE -> SYN_SENT -> SYN_RECV -> ESTABLISHED");
        let is_own_peer = |life: &Life<'_>| life.local == end && life.remote == end;
        findings.expect(life.is_some_and(is_own_peer), "no socket was seen whose two ends are the same");
        findings.expect(!any_listener(&lives), "a socket was seen to listen");
        let hashed = life.and_then(|life| life.hashed_at(S::SYN_SENT, S::SYN_RECV));
        findings.expect(
            [lookup.ehash_hit(), hashed].contains(&Some(true)),
            "the socket was not seen in the established hash",
        );
        findings.expect(lookup.ehash_hit() != Some(false), "the SYN did not find the socket in the established hash");
        findings.expect(hashed != Some(false), "the socket was not in the established hash when its SYN came back");
        findings.expect(witness.state == S::ESTABLISHED, "the socket does not say that it is ESTABLISHED");
        findings.expect(witness.heard == MESSAGE, "the bytes read are not those written");
        let alone = witness.sockets.len() == 1 && witness.sockets.iter().all(|socket| is_connected(socket, end));
        findings.expect(alone, "sock_diag does not list just one ESTABLISHED socket with equal ends");

        findings.fact("states", life.map(Life::path));
        findings.fact("sockets", lives.len());
        findings.fact("listeners", lives.iter().filter(|life| life.states().contains(&S::LISTEN)).count());
        findings.fact("syn_lookup", lookup.fact());
        findings.fact("hashed_when_the_syn_came_back", hashed);
        findings.fact("tcp_info", witness.state.to_string());
        findings.fact("bytes_written", MESSAGE.len());
        findings.fact("bytes_read", witness.heard.len());
        let lines: Vec<String> =
            witness.sockets.iter().map(|socket| netstat::line(socket, witness.program.as_ref())).collect();
        findings.fact("netstat", lines.clone());
        let mut report = findings.report(
            Self::NAME,
            format!(
                "one socket, {end} at both ends, went CLOSE -> SYN_SENT -> SYN_RECV -> ESTABLISHED without a listener \
                 and read back the {} bytes that it wrote",
                witness.heard.len()
            ),
            vec![
                "connect() put the socket in the established hash before it sent the SYN.".to_owned(),
                "So the SYN, and the SYN+ACK after it, found a socket: the very one that had sent them.".to_owned(),
                "Nobody called listen(), and TCP did not need it.".to_owned(),
            ],
        );
        if !lines.is_empty() {
            report.exhibits = std::iter::once(netstat::HEAD.to_owned()).chain(lines).collect();
        }
        report
    }
}

fn is_connected(socket: &TcpSocket, end: SocketAddr) -> bool {
    socket.state == TcpState::ESTABLISHED && socket.local == end && socket.remote == end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        demo::scenarios::tests::{CLIENT, Seen},
        event::Table,
    };

    const OWN: Tuple = Tuple { netns: CLIENT.netns, local: CLIENT.local, remote: CLIENT.local };
    const OPEN: [TcpState; 4] = [TcpState::CLOSE, TcpState::SYN_SENT, TcpState::SYN_RECV, TcpState::ESTABLISHED];

    fn witness() -> Witness {
        let socket = TcpSocket {
            state: TcpState::ESTABLISHED,
            local: OWN.local,
            remote: OWN.local,
            cookie: 1,
            inode: 9,
            recv_queue: 0,
            send_queue: 0,
        };
        Witness {
            tuple: OWN,
            state: TcpState::ESTABLISHED,
            heard: MESSAGE.to_vec(),
            sockets: vec![socket],
            program: Some(Program { pid: 7, name: "tracer".into() }),
        }
    }

    fn seen(lookup: Option<TcpState>) -> Seen {
        let mut seen = Seen::default();
        seen.states(OWN, 1, &OPEN);
        seen.lookup(OWN, Table::Ehash, lookup);
        seen
    }

    #[test]
    fn a_socket_is_its_own_peer() {
        let report = SelfConnect.judge(&seen(Some(TcpState::SYN_SENT)).events, &witness());
        assert!(report.ok, "{}", report.outcome);
        assert_eq!(report.facts["states"], "CLOSE -> SYN_SENT -> SYN_RECV -> ESTABLISHED");
        assert!(report.exhibits[1].ends_with("ESTABLISHED 7/tracer"));
    }

    #[test]
    fn membership_alone_shows_the_hash() {
        let mut seen = Seen::default();
        seen.states(OWN, 1, &OPEN);
        assert!(!SelfConnect.judge(&seen.events, &witness()).ok);
        seen.hash_all(true);
        assert!(SelfConnect.judge(&seen.events, &witness()).ok);
        seen.hash_all(false);
        assert!(!SelfConnect.judge(&seen.events, &witness()).ok);
    }

    #[test]
    fn not_so_with_a_miss_a_listener_a_second_socket_or_other_bytes() {
        assert!(!SelfConnect.judge(&seen(None).events, &witness()).ok);
        let mut with_listener = seen(Some(TcpState::SYN_SENT));
        with_listener.states(OWN, 2, &[TcpState::CLOSE, TcpState::LISTEN]);
        let report = SelfConnect.judge(&with_listener.events, &witness());
        assert_eq!(report.facts["missing"][0], "2 sockets were seen in place of one");
        assert_eq!(report.facts["missing"][1], "a socket was seen to listen");
        let other = Witness { heard: b"noise".to_vec(), ..witness() };
        assert!(!SelfConnect.judge(&seen(Some(TcpState::SYN_SENT)).events, &other).ok);
    }

    #[test]
    fn not_so_without_the_whole_path() {
        for index in 0..3 {
            let mut seen = seen(Some(TcpState::SYN_SENT));
            seen.events.remove(index);
            assert!(!SelfConnect.judge(&seen.events, &witness()).ok, "without event {index}");
        }
    }
}
