//! Records to events: what needs the host's help, such as names, clock and owner.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tracer_ebpf::record::{self, AF_INET6, Header};

use crate::{
    decode::{Body as Raw, Record},
    event::{
        Body, Direction, EhashEntry, Event, Family, Flags, Lookup, Observed, RawKind, RawSend, Rst, RstKind, Segment,
        State, Table, Task, TcpState,
    },
    flow::Flows,
};

pub mod clock;
pub mod context;
pub mod symbols;

/// Turns records into events; keeps what later ones need to know of earlier ones.
pub struct Enricher {
    clock: clock::Clock,
    symbols: symbols::Symbols,
    reasons: BTreeMap<u32, String>,
    flows: Flows,
}

impl Enricher {
    /// `reasons`: names of `enum sk_rst_reason` by number.
    pub fn new(clock: clock::Clock, symbols: symbols::Symbols, reasons: BTreeMap<u32, String>) -> Self {
        Self { clock, symbols, reasons, flows: Flows::default() }
    }

    /// What addresses are called.
    pub fn symbols(&mut self) -> &mut symbols::Symbols {
        &mut self.symbols
    }

    /// The event that a record reports.
    pub fn event(&mut self, record: Record) -> Event {
        let header = *record.header();
        let task = task(&header);
        let names = record.stack.iter().map(|&address| self.symbols.name(address));
        let names = names.skip_while(|name| is_of_probe(name)).collect::<Vec<_>>();
        let context = context::of(header.context, &task.comm, &names);
        let (family, local, remote) = ends(&header);
        let body = self.body(record.body, names);
        let mut event = Event {
            body,
            time: self.clock.wall(header.mono_ns),
            mono_ns: header.mono_ns,
            netns: (header.netns != 0).then_some(header.netns),
            family,
            local,
            remote,
            cookie: (header.cookie != 0).then_some(header.cookie),
            context,
            task,
            owner: None,
            scenario: None,
            sock: header.sock,
        };
        self.flows.follow(&mut event);
        event
    }

    fn body(&self, raw: Raw, stack: Vec<String>) -> Body {
        match raw {
            Raw::State(record) => {
                Body::State(State { old: TcpState(record.old), new: TcpState(record.new), ehash: ehash(&record) })
            }
            Raw::Lookup(record) => Body::Lookup(Lookup {
                table: if record.table == record::TABLE_EHASH { Table::Ehash } else { Table::Listener },
                hit: record.hit != 0,
                state: (record.hit != 0).then_some(TcpState(record.state)),
                observed: Observed::Probe,
            }),
            Raw::Rst(record) => Body::Rst(Rst {
                direction: match record.direction {
                    record::RST_RECEIVED => Direction::Received,
                    _ => Direction::Sent,
                },
                kind: match record.direction {
                    record::RST_RECEIVED => RstKind::Peer,
                    record::RST_SENT_ACTIVE => RstKind::Active,
                    _ => RstKind::Passive,
                },
                reason: (record.reason != record::NO_REASON).then(|| {
                    self.reasons.get(&record.reason).cloned().unwrap_or_else(|| format!("REASON_{}", record.reason))
                }),
                socket: record.header.sock != 0,
                closed_from: None,
                socket_state: (record.socket_state != 0).then_some(TcpState(record.socket_state)),
                trigger: (record.segment.present != 0).then(|| segment(&record.segment)),
                stack,
            }),
            Raw::RawSend(record) => Body::RawSend(RawSend {
                via: if record.via == record::VIA_PACKET { RawKind::Packet } else { RawKind::Raw },
                segment: segment(&record.segment),
            }),
        }
    }
}

/// The innermost frames are the probe's own: the program and what calls it.
fn is_of_probe(function: &str) -> bool {
    const PREFIXES: [&str; 6] =
        ["bpf_prog_", "bpf_trace_run", "bpf_trampoline_", "__traceiter_", "__bpf_trace_", "trace_call_bpf"];
    PREFIXES.iter().any(|prefix| function.starts_with(prefix))
}

fn task(header: &Header) -> Task {
    let name = header.comm.split(|&byte| byte == 0).next().unwrap_or_default();
    Task { pid: header.pid, tid: header.tid, comm: String::from_utf8_lossy(name).into_owned() }
}

fn segment(raw: &record::Segment) -> Segment {
    Segment { flags: Flags(raw.flags), seq: raw.seq, ack: raw.ack, len: raw.len, ttl: raw.ttl }
}

/// Listeners are linked through the same member into another table, so theirs says nothing of the ehash.
fn ehash(record: &record::State) -> Option<EhashEntry> {
    let listener = TcpState(record.old) == TcpState::LISTEN && TcpState(record.new) == TcpState::CLOSE;
    let hashed = match record.hashed {
        0 => false,
        1 => true,
        _ => return None,
    };
    (!listener).then(|| EhashEntry {
        hashed,
        bucket: (hashed && record.mask != 0).then_some(record.hash & record.mask),
        hash: record.hash,
    })
}

/// Family and ends; an IPv6 socket that speaks IPv4 (RFC 4291, section 2.5.5.2) counts as IPv4.
fn ends(header: &Header) -> (Family, SocketAddr, SocketAddr) {
    let v6 = |bytes| Ipv6Addr::from(bytes);
    let v4 = |bytes: [u8; 16]| Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]);
    let (local, remote): (IpAddr, IpAddr) = if header.family == AF_INET6 {
        let (local, remote) = (v6(header.local_addr), v6(header.remote_addr));
        match (local.to_ipv4_mapped(), remote.to_ipv4_mapped()) {
            (Some(local), Some(remote)) => (local.into(), remote.into()),
            // Not bound yet, but on its way to an IPv4 address.
            (None, Some(remote)) if local.is_unspecified() => (Ipv4Addr::UNSPECIFIED.into(), remote.into()),
            _ => (local.into(), remote.into()),
        }
    } else {
        (v4(header.local_addr).into(), v4(header.remote_addr).into())
    };
    let family = if remote.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
    (family, SocketAddr::new(local, header.local_port), SocketAddr::new(remote, header.remote_port))
}
