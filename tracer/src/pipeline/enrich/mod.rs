//! Records to events: what needs the host's help, such as names, clock and owner.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tracer_ebpf::record::{self, AF_INET6, Header, UNREMEMBERED};
use zerocopy::FromBytes as _;

use crate::{
    event::{
        Body, Close, Context, EhashEntry, Event, Family, Flags, Lookup, Observed, Overflow, Pid, RawKind, RawSend,
        Reasons, RstKind, Segment, State, Table, Task, TcpState, comm,
    },
    host::clock::Clock,
    pipeline::{
        decode::{Body as Raw, Record},
        diagnose,
    },
};

pub(crate) mod connection;
pub mod context;
pub mod host_facts;
mod jiffies;
mod owner;
mod rst;
pub mod symbols;

/// Turns records into events; keeps what later ones need to know of earlier ones.
pub struct Enricher {
    clock: Clock,
    symbols: symbols::Symbols,
    reasons: Reasons,
    host_facts: host_facts::HostFacts,
    owners: owner::Owners,
}

impl Enricher {
    /// With what the kernel that the records are of calls reasons.
    pub fn new(clock: Clock, symbols: symbols::Symbols, host_facts: host_facts::HostFacts, reasons: Reasons) -> Self {
        Self { clock, symbols, host_facts, reasons, owners: owner::Owners::default() }
    }

    /// What addresses are called.
    pub fn symbols(&mut self) -> &mut symbols::Symbols {
        &mut self.symbols
    }

    /// What numbers are called on the host that the records are of.
    pub fn host_facts(&mut self) -> &mut host_facts::HostFacts {
        &mut self.host_facts
    }

    /// The event that a record reports; none if it only tells of a process that others name.
    pub fn event(&mut self, record: Record) -> Option<Event> {
        let header = *record.header();
        if let Raw::Process(process) = &record.body {
            self.owners.learn(process);
            return None;
        }
        if let Raw::End(end) = &record.body {
            self.owners.end(end);
            return None;
        }
        let task = task(&header);
        let names = of_kernel(record.stack.iter().map(|&address| self.symbols.name(address)).collect());
        let context = context::of(header.context, &task.comm, &names);
        let (family, local, remote) = ends(&header);
        let mut body = self.body(record.body, context, names)?;
        if let Body::Rst(rst) = &mut body
            && rst.reason.is_none()
        {
            rst.derived_reason = diagnose::reason::derive(rst);
        }
        Some(Event {
            body,
            time: self.clock.wall(header.mono_ns),
            mono_ns: header.mono_ns,
            netns: (header.netns != 0).then_some(header.netns),
            netns_name: (header.netns != 0).then(|| self.host_facts.netns(&sighting(&header))).flatten(),
            family,
            local,
            remote,
            cookie: (header.cookie != 0).then_some(header.cookie),
            context,
            task,
            owner: self.owners.of(&header.owner, &mut self.host_facts),
            opened: connection::opened(header.opened & !UNREMEMBERED),
            unremembered: header.opened & UNREMEMBERED != 0,
            scenario: None,
            filtered_out: false,
            sock: header.sock,
        })
    }

    fn body(&mut self, raw: Raw, context: Context, stack: Vec<String>) -> Option<Body> {
        Some(match raw {
            Raw::State(record) => Body::State(State {
                old: TcpState(record.old),
                new: TcpState(record.new),
                ehash: ehash(&record),
                became: connection::took(record.time_wait),
            }),
            Raw::Lookup(record) => Body::Lookup(Lookup {
                table: if record.table == record::TABLE_EHASH { Table::Ehash } else { Table::Listener },
                hit: record.hit != 0,
                state: (record.hit != 0).then_some(TcpState(record.state)),
                observed: Observed::Probe,
            }),
            Raw::Rst(record) => {
                let rst = Box::new(self.rst(&record, stack));
                // A forwarded one may be dropped, too: it is no business of TCP's.
                match rst.kind {
                    RstKind::Stray if !rst.stack.iter().any(|function| is_of_tcp(function)) => return None,
                    RstKind::Stray => Body::StrayRst(rst),
                    _ => Body::Rst(rst),
                }
            }
            Raw::RawSend(record) => Body::RawSend(RawSend {
                via: if record.via == record::VIA_PACKET { RawKind::Packet } else { RawKind::Raw },
                segment: segment(&record.segment),
            }),
            Raw::Open(record) => Body::Open(connection::open(&record)),
            Raw::Close(record) => {
                let reader = self.host_facts.reader(record.header.mono_ns);
                Body::Close(Box::new(Close { reader, ..connection::close(&record, context) }))
            }
            // It tells of a queue, and not yet of a connection that found it full.
            Raw::Queue(record) if record.counted == 0 => return None,
            Raw::Queue(record) => Body::Overflow(Box::new(Overflow {
                backlog: record.backlog,
                max_backlog: record.max_backlog,
                overflows: record.overflows,
                drops: record.drops,
                listeners: record.listeners,
                observed: record.dropped != 0,
                verdict: None,
            })),
            Raw::Process(_) | Raw::End(_) => return None,
        })
    }
}

/// The frames without the innermost ones, which are the probe's own: the program and what calls it. A
/// program's code has no name where its entry slipped by while the names were read.
fn of_kernel(mut frames: Vec<String>) -> Vec<String> {
    let is_unnamed = |frame: &str| frame.starts_with("0x");
    if frames.iter().all(|frame| is_unnamed(frame)) {
        return frames;
    }
    let own = frames.iter().take_while(|frame| is_of_probe(frame) || is_unnamed(frame)).count();
    frames.split_off(own)
}

fn is_of_probe(function: &str) -> bool {
    const PREFIXES: [&str; 6] =
        ["bpf_prog_", "bpf_trace_run", "bpf_trampoline_", "__traceiter_", "__bpf_trace_", "trace_call_bpf"];
    PREFIXES.iter().any(|prefix| function.starts_with(prefix))
}

/// TCP's reception: a stack without names tells nothing.
fn is_of_tcp(function: &str) -> bool {
    ["tcp_", "__tcp_", "0x"].iter().any(|prefix| function.starts_with(prefix))
}

/// What tells one namespace from another with the same inode.
fn sighting(header: &Header) -> host_facts::Sighting {
    host_facts::Sighting { inode: header.netns, mono_ns: header.mono_ns, cookie: header.cookie, pid: header.owner.pid }
}

fn task(header: &Header) -> Task {
    Task { pid: Pid::of_record(header.pid), tid: Pid::of_record(header.tid), comm: comm(&header.comm) }
}

fn segment(raw: &record::Segment) -> Segment {
    Segment {
        flags: Flags(raw.flags),
        seq: raw.seq,
        ack: raw.ack,
        len: raw.len,
        ttl: raw.ttl,
        window: raw.window,
        ip_id: (raw.ip_version == 4).then_some(raw.ip_id),
    }
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

/// Local and remote end of a record.
pub(crate) fn ends_of_record(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (header, _) = Header::read_from_prefix(bytes).ok()?;
    let (_, local, remote) = ends(&header);
    Some((local, remote))
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
            // Listens at an IPv4 address.
            (Some(local), None) if remote.is_unspecified() => (local.into(), Ipv4Addr::UNSPECIFIED.into()),
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
    use tracer_ebpf::record::{AF_INET, CONTEXT_INTERRUPT, KIND_RST, KIND_STATE, Rst};
    use zerocopy::FromZeros;

    use super::*;
    use crate::event::{Known, Opened, TcpState as S};

    const V4_MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];

    fn enricher() -> Enricher {
        let symbols = symbols::Symbols::Recorded([(1, "bpf_prog_1_x".into()), (2, "tcp_v4_send_reset".into())].into());
        Enricher::new(
            Clock::since(jiff::Timestamp::UNIX_EPOCH),
            symbols,
            host_facts::HostFacts::recorded(),
            Reasons { reset: [(1, "NO_SOCKET".into())].into(), ..Reasons::default() },
        )
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
        assert_eq!(shown(V4_MAPPED, [0; 16]), (Family::Ipv4, "127.0.0.1:80".into(), "0.0.0.0:1234".into()));
        assert_eq!(shown([0; 16], [0; 16]), (Family::Ipv6, "[::]:80".into(), "[::]:1234".into()));
    }

    #[test]
    fn the_owner_is_the_one_that_the_kernel_names_not_the_one_that_was_interrupted() {
        let mut enricher = enricher();
        let mut answered = state(S::SYN_SENT, S::ESTABLISHED, CONTEXT_INTERRUPT, b"bystander");
        let Raw::State(state) = &mut answered.body else { unreachable!() };
        state.header.owner = record::Owner { pid: 7, uid: 5, known: record::OWNER_ACTED, ..Default::default() };
        state.header.owner.comm[..4].copy_from_slice(b"curl");
        state.header.opened = record::OPEN_ACTIVE;
        enricher.host_facts().learn(host_facts::Fact::User { uid: 5, name: "games".into() });
        let mut process = record::Process::new_zeroed();
        process.header.kind = record::KIND_PROCESS;
        process.header.owner = state.header.owner;
        process.arguments[..7].copy_from_slice(b"curl\0-v\0".split_at(7).0);
        process.length = 8;
        assert!(enricher.event(Raw::Process(Box::new(process)).into()).is_none(), "it only tells of a process");
        let answered = enricher.event(answered).unwrap();
        assert_eq!((answered.task.comm.as_str(), answered.opened), ("bystander", Some(Opened::Active)));
        let owner = answered.owner.unwrap();
        assert_eq!((owner.pid, owner.comm.as_str(), owner.user.as_deref()), (Pid::of_record(7), "curl", Some("games")));
        assert_eq!((owner.cmdline.as_deref(), owner.known), (Some("curl -v"), Known::Call));
    }

    #[test]
    fn nobody_is_no_owner() {
        let child = enricher().event(state(S::LISTEN, S::SYN_RECV, CONTEXT_INTERRUPT, b"bystander")).unwrap();
        assert_eq!((child.owner, child.opened), (None, None));
    }

    #[test]
    fn frames_without_a_name_are_cut_off_only_before_those_that_have_one() {
        let frames = |names: &[&str]| of_kernel(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(frames(&["0xffffffffc0001000", "bpf_trampoline_7", "tcp_reset", "0x3"]), ["tcp_reset", "0x3"]);
        assert_eq!(frames(&["0x1", "0x2"]), ["0x1", "0x2"]);
    }

    #[test]
    fn reasons_and_stacks_are_named_without_the_probe_itself() {
        let event = enricher().event(rst(record::RST_SENT_PASSIVE, 1, 0)).unwrap();
        let Body::Rst(named) = event.body else { panic!("{event:?}") };
        assert_eq!(named.reason.as_deref(), Some("NO_SOCKET"));
        assert_eq!(named.stack, ["tcp_v4_send_reset", "0x3"]);
        assert!(!named.socket);
        let event = enricher().event(rst(record::RST_SENT_PASSIVE, 77, 0)).unwrap();
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
