//! Records to events: what needs the host's help, such as names, clock and owner.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tracer_ebpf::record::{self, AF_INET6, Header};

use crate::{
    decode::{Body as Raw, Record},
    diagnose,
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
        if let Body::Rst(rst) = &mut event.body
            && rst.reason.is_none()
        {
            rst.derived_reason = diagnose::reason::derive(rst);
        }
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
                    record::RST_SENT_FIREWALL => RstKind::Firewall,
                    _ => RstKind::Passive,
                },
                reason: (record.reason != record::NO_REASON).then(|| {
                    self.reasons.get(&record.reason).cloned().unwrap_or_else(|| format!("REASON_{}", record.reason))
                }),
                socket: record.header.sock != 0,
                derived_reason: None,
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

#[cfg(test)]
mod tests {
    use tracer_ebpf::record::{AF_INET, CONTEXT_INTERRUPT, CONTEXT_PROCESS, KIND_RST, KIND_STATE, NO_REASON, Rst};
    use zerocopy::FromZeros;

    use super::*;
    use crate::event::TcpState as S;

    const V4_MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];

    fn enricher() -> Enricher {
        let symbols = symbols::Symbols::Recorded([(1, "bpf_prog_1_x".into()), (2, "tcp_v4_send_reset".into())].into());
        Enricher::new(clock::Clock::since(jiff::Timestamp::UNIX_EPOCH), symbols, [(1, "NO_SOCKET".into())].into())
    }

    fn header(kind: u16, family: u16, local: [u8; 16], remote: [u8; 16]) -> Header {
        let mut header = Header::new_zeroed();
        header.kind = kind;
        header.family = family;
        header.local_addr = local;
        header.remote_addr = remote;
        header.local_port = 80;
        header.remote_port = 1234;
        header
    }

    fn state(old: S, new: S, context: u8, comm: &[u8]) -> Record {
        let mut state = record::State::new_zeroed();
        state.header = header(KIND_STATE, AF_INET, [127; 16], [127; 16]);
        state.header.sock = 0xffff_8880_0000_0000;
        state.header.context = context;
        state.header.comm[..comm.len()].copy_from_slice(comm);
        state.old = old.0;
        state.new = new.0;
        Record { body: Raw::State(state), stack: vec![] }
    }

    fn rst(direction: u8, reason: u32, sock: u64) -> Record {
        let mut rst = Rst::new_zeroed();
        rst.header = header(KIND_RST, AF_INET, [127; 16], [127; 16]);
        rst.header.sock = sock;
        rst.direction = direction;
        rst.reason = reason;
        Record { body: Raw::Rst(Box::new(rst)), stack: vec![1, 2, 3] }
    }

    #[test]
    fn v4_mapped_ends_are_ipv4() {
        let shown = |local, remote| {
            let (family, local, remote) = ends(&header(KIND_STATE, AF_INET6, local, remote));
            (family, local.to_string(), remote.to_string())
        };
        assert_eq!(shown(V4_MAPPED, V4_MAPPED), (Family::Ipv4, "127.0.0.1:80".into(), "127.0.0.1:1234".into()));
        assert_eq!(shown([0; 16], V4_MAPPED), (Family::Ipv4, "0.0.0.0:80".into(), "127.0.0.1:1234".into()));
        assert_eq!(shown([0; 16], [0; 16]), (Family::Ipv6, "[::]:80".into(), "[::]:1234".into()));
    }

    #[test]
    fn the_owner_is_the_one_that_acted_not_the_one_that_was_interrupted() {
        let mut enricher = enricher();
        let connects = enricher.event(state(S::CLOSE, S::SYN_SENT, CONTEXT_PROCESS, b"curl"));
        assert_eq!(connects.owner.as_ref(), Some(&connects.task));
        let answered = enricher.event(state(S::SYN_SENT, S::ESTABLISHED, CONTEXT_INTERRUPT, b"bystander"));
        assert_eq!((answered.task.comm.as_str(), answered.owner.unwrap().comm.as_str()), ("bystander", "curl"));
    }

    #[test]
    fn a_child_that_nobody_accepted_has_no_owner_even_at_an_address_used_before() {
        let mut enricher = enricher();
        enricher.event(state(S::CLOSE, S::SYN_SENT, CONTEXT_PROCESS, b"curl"));
        let child = enricher.event(state(S::LISTEN, S::SYN_RECV, CONTEXT_INTERRUPT, b"bystander"));
        assert_eq!(child.owner, None);
    }

    #[test]
    fn an_abort_remembers_the_state_that_it_closed() {
        let mut enricher = enricher();
        let closed = enricher.event(state(S::ESTABLISHED, S::CLOSE, CONTEXT_PROCESS, b"curl"));
        let aborted = enricher.event(rst(record::RST_SENT_ACTIVE, NO_REASON, closed.sock));
        let Body::Rst(aborted) = aborted.body else { panic!("{aborted:?}") };
        assert_eq!((aborted.closed_from, aborted.reason), (Some(S::ESTABLISHED), None));
    }

    #[test]
    fn reasons_and_stacks_are_named_without_the_probe_itself() {
        let event = enricher().event(rst(record::RST_SENT_PASSIVE, 1, 0));
        let Body::Rst(named) = event.body else { panic!("{event:?}") };
        assert_eq!(named.reason.as_deref(), Some("NO_SOCKET"));
        assert_eq!(named.stack, ["tcp_v4_send_reset", "0x3"]);
        assert!(!named.socket);
        let event = enricher().event(rst(record::RST_SENT_PASSIVE, 77, 0));
        assert!(matches!(event.body, Body::Rst(rst) if rst.reason.as_deref() == Some("REASON_77")));
    }

    #[test]
    fn hash_membership_of_a_listener_says_nothing_of_the_ehash() {
        let mut record = record::State::new_zeroed();
        (record.old, record.new, record.hashed, record.hash, record.mask) = (S::LISTEN.0, S::CLOSE.0, 1, 5, 3);
        assert_eq!(ehash(&record), None);
        record.old = S::ESTABLISHED.0;
        assert_eq!(ehash(&record), Some(EhashEntry { hashed: true, bucket: Some(1), hash: 5 }));
        record.hashed = 0;
        assert_eq!(ehash(&record).unwrap().bucket, None);
        record.hashed = 2;
        assert_eq!(ehash(&record), None, "the field could not be read");
    }
}
