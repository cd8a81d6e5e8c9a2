//! Hand-made events for the tests of the judgements.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{
    demo::evidence::Tuple,
    event::{
        Body, Context, Direction, EhashEntry, Event, Family, Flags, Lookup, Observed, Pid, RawKind, RawSend, Rst,
        RstKind, Segment, State, Table, Task, TcpState,
    },
};

const fn end(host: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 115, 20, host)), port)
}

/// The connection as the first host sees it.
pub(in super::super) const CLIENT: Tuple = Tuple { netns: 1, local: end(30, 1234), remote: end(40, 80) };
/// The connection as the second host sees it.
pub(in super::super) const SERVER: Tuple = Tuple { netns: 2, local: end(40, 80), remote: end(30, 1234) };

/// A growing list of events.
#[derive(Default)]
pub(in super::super) struct Seen {
    pub(in super::super) events: Vec<Event>,
}

impl Seen {
    /// One socket goes from state to state.
    pub(in super::super) fn states(&mut self, tuple: Tuple, sock: u64, path: &[TcpState]) {
        for step in path.windows(2) {
            let body = Body::State(State { old: step[0], new: step[1], ehash: None, became: None });
            self.push(tuple, sock, body);
        }
    }

    /// A lookup that finds a socket in this state, or misses.
    pub(in super::super) fn lookup(&mut self, tuple: Tuple, table: Table, state: Option<TcpState>) {
        let body = Body::Lookup(Lookup { table, hit: state.is_some(), state, observed: Observed::Probe });
        self.push(tuple, 0, body);
    }

    /// A passive RST without a socket, or one that is received.
    pub(in super::super) fn rst(&mut self, tuple: Tuple, direction: Direction, trigger: Segment) {
        let sent = direction == Direction::Sent;
        let body = Body::Rst(Box::new(Rst {
            reason: sent.then(|| "NO_SOCKET".to_owned()),
            socket: !sent,
            trigger: Some(trigger),
            ..Rst::bare(if sent { RstKind::Passive } else { RstKind::Peer })
        }));
        self.push(tuple, 0, body);
    }

    /// A segment that is sent through a raw socket.
    pub(in super::super) fn raw_send(&mut self, tuple: Tuple, segment: Segment) {
        self.push(tuple, 0, Body::RawSend(RawSend { via: RawKind::Raw, segment }));
    }

    /// All state changes say so about the established hash.
    pub(in super::super) fn hash_all(&mut self, hashed: bool) {
        for event in &mut self.events {
            if let Body::State(state) = &mut event.body {
                state.ehash = Some(EhashEntry { hashed, bucket: None, hash: 7 });
            }
        }
    }

    /// All but one of the events, each left out in turn.
    pub(in super::super) fn without_each(&self) -> impl Iterator<Item = (usize, Self)> {
        (0..self.events.len()).map(|index| {
            let mut events = self.events.clone();
            events.remove(index);
            (index, Self { events })
        })
    }

    fn push(&mut self, tuple: Tuple, sock: u64, body: Body) {
        self.events.push(Event {
            body,
            time: jiff::Timestamp::UNIX_EPOCH,
            mono_ns: self.events.len() as u64,
            netns: Some(tuple.netns),
            netns_name: None,
            family: Family::Ipv4,
            local: tuple.local,
            remote: tuple.remote,
            cookie: None,
            context: Context::Process,
            task: Task { pid: Pid::of_record(7), tid: Pid::of_record(8), comm: "forger".into() },
            owner: None,
            opened: None,
            unremembered: false,
            scenario: None,
            filtered_out: false,
            sock,
        });
    }
}

/// A segment without data.
pub(in super::super) fn segment(flags: Flags, seq: u32, ack: u32) -> Segment {
    Segment { flags, seq, ack, len: 0, ttl: 64, window: 0, ip_id: None }
}
