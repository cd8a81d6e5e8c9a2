//! What both forged handshakes have in common: a raw socket sends a SYN to a real listener, and the
//! kernel answers the SYN+ACK, which it has no socket for, with a RST.

use anyhow::bail;
use socket2::Socket;

use crate::{
    demo::{
        evidence::{Tuple, answers_no_socket, first_lookup, lives, lookups, raw_sends, resets},
        makings::Makings,
        stage::{Network, Stage},
    },
    event::{Body, Direction, Event, Family, Flags, Pid, Segment, Table, TcpState},
    host::sock_diag,
    kernel::probes::Probe,
    testbed::{
        filter,
        forge::Forger,
        host::Host,
        segment::{Packet, SYN_ACK},
        tcp,
    },
};

/// The sequence number of the forged SYN.
pub(super) const ISN: u32 = 11_520_304;

/// A handshake as far as the forged SYN's answer.
pub(super) struct Opening {
    pub(super) network: Network,
    pub(super) listener: Socket,
    pub(super) raw: Forger,
    /// The SYN+ACK, as the raw socket received it.
    pub(super) answer: Segment,
    pub(super) forged: Forged,
}

/// What others than the probes know of a forged handshake.
#[derive(Debug, Clone)]
pub(super) struct Forged {
    pub(super) forger: Tuple,
    pub(super) server: Tuple,
    /// The server had a half-open connection when its SYN+ACK was under way, by sock_diag.
    pub(super) half_open: bool,
    /// The process that has the raw socket.
    pub(super) pid: u32,
    /// Segments that the wire has brought to the forger.
    pub(super) received: usize,
    /// `tcpOutRsts` of the forger's namespace after that.
    pub(super) out_rsts: u64,
}

impl Forged {
    /// Counts, once nothing more is sent to the forger, what it received and what its kernel answered.
    pub(super) fn count(&mut self, stage: &Stage, network: &Network) -> anyhow::Result<()> {
        let Network { wire, hosts: [forger, _] } = network;
        let received = wire.delivered().iter().filter(|packet| packet.destination == self.forger.local).count();
        let mut seen = 0;
        stage.wait(Probe::RstSentPassive, "a RST for each segment that reached the forger", |event| {
            seen += usize::from(sends_rst(event, forger));
            seen == received
        })?;
        (self.received, self.out_rsts) = (received, forger.out_rsts()?);
        Ok(())
    }
}

fn sends_rst(event: &Event, host: &Host) -> bool {
    let is_sent = matches!(&event.body, Body::Rst(rst) if rst.direction == Direction::Sent);
    is_sent && event.netns == Some(host.netns())
}

/// Opens by hand, up to the kernel's RST; with `filtered` that does not get out.
pub(super) fn open(stage: &Stage, filtered: bool) -> anyhow::Result<Opening> {
    let network = stage.network(["forger", "server"])?;
    let Network { wire, hosts: [forger, server] } = &network;
    let (from, to, left, deadline) = (stage.endpoint(0, 1234), stage.endpoint(1, 80), stage.left(), stage.deadline());
    let listener = server.run(move || tcp::listening(to, left))?;
    if filtered {
        forger.run(filter::drop_outgoing_rst)?;
    }
    wire.hold(Packet::is_syn_ack);
    let raw = forger.run(move || {
        let raw = Forger::open(from, to)?;
        raw.send(Flags::SYN, ISN, 0, &[])?;
        Ok(raw)
    })?;
    wire.wait_held("the server's SYN+ACK", deadline, |held| !held.is_empty())?;
    let half_open = has_half_open(server, stage.family())?;
    stage.look_up(forger, from, to)?;
    wire.release()?;
    let (raw, answer) = forger.run(move || raw.receive(SYN_ACK, deadline).map(|answer| (raw, answer)))?;

    let netns = Some(forger.netns());
    stage.wait(Probe::RawSend, "the segment that the raw socket sent", |event| {
        event.netns == netns && matches!(event.body, Body::RawSend(_))
    })?;
    stage.wait(Probe::RstSentPassive, "the RST that answers the SYN+ACK", |event| sends_rst(event, forger))?;
    let forged = Forged {
        forger: Tuple { netns: forger.netns(), local: from, remote: to },
        server: Tuple { netns: server.netns(), local: to, remote: from },
        half_open,
        pid: std::process::id(),
        received: 0,
        out_rsts: 0,
    };
    Ok(Opening { network, listener, raw, answer, forged })
}

/// The host has a connection whose handshake is not complete.
pub(super) fn has_half_open(host: &Host, family: Family) -> anyhow::Result<bool> {
    host.run(move || Ok(sock_diag::list(family)?.iter().any(|socket| socket.state == TcpState::SYN_RECV)))
}

/// Waits until no half-open connection is left: the RST has arrived.
///
/// No probe and no file descriptor tells when a request socket goes, so this asks until it is gone.
pub(super) fn wait_half_open_gone(host: &Host, stage: &Stage) -> anyhow::Result<()> {
    while has_half_open(host, stage.family())? {
        if std::time::Instant::now() >= stage.deadline() {
            bail!("the server's half-open connection outlived the RST");
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Judges what both variants share: the raw SYN, the lookups for its answer, and the RST for that.
pub(super) fn judge(findings: &mut Makings, events: &[Event], forged: &Forged) {
    let Forged { forger, half_open, pid, received, out_rsts, .. } = forged;
    let raw = raw_sends(events, *forger);
    let syn = raw.iter().find(|(_, raw)| raw.segment.flags == Flags::SYN && raw.segment.seq == ISN);
    findings.expect(syn.is_some(), "the raw socket's SYN was not seen");
    let sender = syn.map(|(event, _)| &event.task);
    findings.expect(
        sender.is_some_and(|task| task.pid == Pid::of_record(*pid)),
        "the process that sent the raw SYN was not seen",
    );

    findings.expect(lives(events, forger.netns).is_empty(), "the forger was seen to have a TCP socket");
    findings.expect(*half_open, "the server had no half-open connection when it had answered the SYN");
    for (table, name) in [(Table::Ehash, "established hash"), (Table::Listener, "listeners")] {
        let found = lookups(events, *forger, table);
        findings.expect(
            !found.is_empty() && found.iter().all(|lookup| !lookup.hit),
            format!("the SYN+ACK was not seen to miss the {name}"),
        );
    }

    let sent = resets(events, forger.netns, Direction::Sent);
    let to_syn_ack = sent
        .iter()
        .filter(|rst| rst.trigger.is_some_and(|trigger| trigger.flags.contains(SYN_ACK) && trigger.ack == ISN + 1));
    findings.expect(to_syn_ack.count() > 0, "no RST was seen to answer the SYN+ACK");
    findings.expect(
        sent.iter().all(|rst| answers_no_socket(rst)),
        "the forger's kernel was seen to send a RST for another reason than that it has no socket",
    );
    findings.expect(
        sent.len() == *received,
        format!("{} RSTs were seen for {received} segments that reached the forger", sent.len()),
    );
    findings.expect(
        sent.len() as u64 == *out_rsts,
        format!("{} RSTs were seen, but the kernel counted {out_rsts}", sent.len()),
    );

    findings.fact("raw_syn_sent_by", sender.map(|task| format!("{} ({})", task.pid, task.comm)));
    findings.fact("syn_ack_lookup", first_lookup(events, *forger).fact());
    findings.fact("segments_to_forger", *received);
    findings.fact("rsts_seen", sent.len());
    findings.fact("out_rsts", *out_rsts);
    findings.fact("rst_reason", sent.first().and_then(|rst| rst.reason.clone()));
}
