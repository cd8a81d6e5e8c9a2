//! RSTs, and what the kernel's programs saw around them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tracer_ebpf::record::{
    self, ERROR_TAKEN, PAST_CLOSED, PAST_LISTENED, PAST_OTHER, PAST_OTHER_IS_OPEN, RESET_NOTHING, RESET_RECEIVED,
    RESET_SENT, SOCKET_IS_ORPHAN, SOCKET_IS_SHUT, SOCKET_KEEPS_ALIVE, SOCKET_LINGERS, TASK_EXECS, TASK_EXITS,
};

use super::{Enricher, connection, jiffies};
use crate::event::{Baseline, Circumstances, Direction, Former, Near, Numbers, Past, Rst, RstKind, TcpState};

impl Enricher {
    pub(super) fn rst(&mut self, record: &record::Rst, stack: Vec<String>) -> Rst {
        let state = |state: u8| (state != 0).then_some(TcpState(state));
        let other = (record.past.known & PAST_OTHER != 0).then(|| self.other(&record.past));
        Rst {
            direction: match record.direction {
                record::RST_RECEIVED | record::RST_STRAY => Direction::Received,
                _ => Direction::Sent,
            },
            kind: match record.direction {
                record::RST_RECEIVED => RstKind::Peer,
                record::RST_SENT_ACTIVE => RstKind::Active,
                record::RST_SENT_FIREWALL => RstKind::Firewall,
                record::RST_STRAY => RstKind::Stray,
                _ => RstKind::Passive,
            },
            reason: (record.reason != record::NO_REASON).then(|| {
                let reasons =
                    if record.direction == record::RST_STRAY { &self.reasons.drop } else { &self.reasons.reset };
                reasons.get(&record.reason).cloned().unwrap_or_else(|| format!("REASON_{}", record.reason))
            }),
            derived_reason: None,
            socket: record.header.sock != 0,
            socket_state: state(record.socket_state),
            closed_from: state(record.closed_from),
            trigger: (record.segment.ip_version != 0).then(|| super::segment(&record.segment)),
            baseline: (record.heard.segments != 0).then(|| baseline(&record.heard)),
            stack,
            circumstances: (record.has_circumstances == 1)
                .then(|| circumstances(&record.circumstances, record.header.mono_ns)),
            expected_seq: (record.has_circumstances == 2).then_some(record.circumstances.rcv_nxt),
            past: (record.past.known & PAST_CLOSED != 0).then(|| self.past(record)),
            former: (record.past.known & PAST_LISTENED != 0).then(|| self.former(record)),
            near: other.clone().filter(|_| record.direction != record::RST_RECEIVED),
            peer: other.filter(|_| record.direction == record::RST_RECEIVED),
            listeners: self.host_facts.listeners(record.header.mono_ns),
            verdict: None,
        }
    }

    fn past(&mut self, record: &record::Rst) -> Past {
        let past = &record.past;
        Past {
            owner: self.owners.of(&past.owner, &mut self.host_facts),
            closed_ns_ago: record.header.mono_ns.saturating_sub(past.closed_ns),
            open_ns: (past.opened_ns != 0).then(|| past.closed_ns.saturating_sub(past.opened_ns)),
            lifetime_ns: (past.began_ns != 0).then(|| past.closed_ns.saturating_sub(past.began_ns)),
            closed_from: TcpState(past.closed_from),
            idle_ms: past.idle.checked_sub(1).and_then(|idle| {
                let hertz = jiffies::hertz(record.circumstances.jiffies, record.header.mono_ns)?;
                Some(u64::from(idle) * 1000 / hertz)
            }),
            unread: past.unread,
            reset_received: past.resets & RESET_RECEIVED != 0,
            reset_sent: past.resets & RESET_SENT != 0,
            repair: past.resets & RESET_NOTHING != 0,
            signal: (past.signal != 0).then_some(past.signal),
            error: connection::error(past.error),
            error_taken: past.error == ERROR_TAKEN,
            numbers: Numbers {
                snd_first: past.numbers.snd_first,
                snd_next: past.numbers.snd_next,
                rcv_first: past.numbers.rcv_first,
                rcv_next: past.numbers.rcv_next,
            },
        }
    }

    fn other(&mut self, past: &record::Past) -> Near {
        let other = &past.other;
        Near {
            local: SocketAddr::new(address(other.local), other.local_port),
            remote: SocketAddr::new(address(other.remote), other.remote_port),
            netns: other.netns,
            is_open: past.known & PAST_OTHER_IS_OPEN != 0,
            owner: self.owners.of(&other.owner, &mut self.host_facts),
        }
    }

    fn former(&mut self, record: &record::Rst) -> Former {
        let past = &record.past;
        Former {
            owner: self.owners.of(&past.owner, &mut self.host_facts),
            closed_ns_ago: record.header.mono_ns.saturating_sub(past.closed_ns),
            signal: (past.signal != 0).then_some(past.signal),
        }
    }
}

fn baseline(raw: &record::SegmentStats) -> Baseline {
    Baseline {
        segments: raw.segments,
        ttl_low: raw.ttl_low,
        ttl_high: raw.ttl_high,
        ip_id: (raw.ip_version == 4).then_some(raw.ip_id),
        window_low: raw.window_low,
        window_high: raw.window_high,
    }
}

fn circumstances(raw: &record::Circumstances, mono_ns: u64) -> Circumstances {
    let is_set = |flag| raw.flags & flag != 0;
    let signal = (raw.exit_code & 0x7f) as u8;
    Circumstances {
        unread: raw.unread,
        unacked: raw.unacked,
        rcv_nxt: raw.rcv_nxt,
        snd_nxt: raw.snd_nxt,
        snd_wnd: raw.snd_wnd,
        idle_ms: jiffies::idle(raw.last_ack, raw.jiffies, mono_ns),
        backlog: raw.backlog,
        max_backlog: raw.max_backlog,
        lingers: is_set(SOCKET_LINGERS),
        linger_time: raw.linger_time != 0,
        no_fin_wait2: raw.linger2 < 0,
        keeps_alive: is_set(SOCKET_KEEPS_ALIVE),
        user_timeout_ms: raw.user_timeout,
        probes_out: raw.probes_out,
        retransmits: raw.retransmits,
        orphan: is_set(SOCKET_IS_ORPHAN),
        shut_down: is_set(SOCKET_IS_SHUT),
        task_exits: is_set(TASK_EXITS),
        task_execs: is_set(TASK_EXECS),
        signal: (is_set(TASK_EXITS) && signal != 0).then_some(signal),
        error: connection::error(raw.error),
    }
}

fn address(bytes: [u8; 16]) -> IpAddr {
    IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
}
