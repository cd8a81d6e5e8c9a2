//! Reading a scenario's events: whole lives of sockets, lookups of one connection, RSTs.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::event::{Body, Direction, Event, Lookup, Observed, RawSend, Rst, RstKind, State, Table, TcpState};

/// All events that one socket went through, as far as the probes saw.
#[derive(Debug)]
pub struct Life<'a> {
    /// Local address, as last reported with a port.
    pub local: SocketAddr,
    /// Remote address and port.
    pub remote: SocketAddr,
    /// Its state changes, oldest first.
    pub changes: Vec<&'a State>,
    sock: u64,
}

impl Life<'_> {
    /// The states that it went through, the first it left included.
    pub fn states(&self) -> Vec<TcpState> {
        self.changes.first().map(|change| change.old).into_iter().chain(self.changes.iter().map(|c| c.new)).collect()
    }

    /// It went through exactly these states in this order, whatever came before and after.
    pub fn passed(&self, path: &[TcpState]) -> bool {
        self.states().windows(path.len()).any(|window| window == path)
    }

    /// Whether it was in the established hash at that change; `None` if nobody looked.
    pub fn hashed_at(&self, old: TcpState, new: TcpState) -> Option<bool> {
        let change = self.changes.iter().find(|change| change.old == old && change.new == new)?;
        change.ehash.map(|entry| entry.hashed)
    }

    /// `CLOSE -> SYN_SENT -> ...`, for facts.
    pub fn path(&self) -> String {
        self.states().iter().map(TcpState::to_string).collect::<Vec<_>>().join(" -> ")
    }

    fn is_over(&self) -> bool {
        self.changes.last().is_some_and(|change| change.new == TcpState::CLOSE)
    }
}

/// The lives of all sockets of a namespace, in the order of their first events.
///
/// The kernel reuses the memory of a closed socket, so an address names one life after another.
pub fn lives(events: &[Event], netns: u32) -> Vec<Life<'_>> {
    let mut lives: Vec<Life<'_>> = Vec::new();
    for event in within(events, netns) {
        let Body::State(change) = &event.body else { continue };
        let known = lives.iter().position(|life| life.sock == event.sock && !life.is_over());
        let index = known.unwrap_or_else(|| {
            let Event { local, remote, sock, .. } = *event;
            lives.push(Life { local, remote, changes: Vec::new(), sock });
            lives.len() - 1
        });
        let life = &mut lives[index];
        life.changes.push(change);
        // A port is zero before the kernel has chosen it, and again after it was given back.
        if event.local.port() != 0 {
            life.local = event.local;
        }
        if event.remote.port() != 0 {
            life.remote = event.remote;
        }
    }
    lives
}

/// Some socket of these was a listener.
pub fn any_listener(lives: &[Life<'_>]) -> bool {
    lives.iter().any(|life| life.states().contains(&TcpState::LISTEN))
}

/// One connection as one host sees it.
#[derive(Debug, Clone, Copy)]
pub struct Tuple {
    /// Inode of the host's network namespace.
    pub netns: u32,
    /// This host's end.
    pub local: SocketAddr,
    /// Remote address and port.
    pub remote: SocketAddr,
}

impl Tuple {
    fn is_of(&self, event: &Event) -> bool {
        event.netns == Some(self.netns) && event.local == self.local && event.remote == self.remote
    }
}

/// The lookups in one table for the segments that this host received, oldest first.
pub fn lookups<'a>(events: &'a [Event], tuple: Tuple, table: Table) -> Vec<&'a Lookup> {
    let of_table = |event: &'a Event| match &event.body {
        Body::Lookup(lookup) if lookup.table == table => Some(lookup),
        _ => None,
    };
    events.iter().filter(|event| tuple.is_of(event)).filter_map(of_table).collect()
}

/// What the first segment that this host received has met.
pub fn first_lookup(events: &[Event], tuple: Tuple) -> FirstLookup<'_> {
    let first = |table| lookups(events, tuple, table).first().copied();
    FirstLookup { ehash: first(Table::Ehash), listener: first(Table::Listener) }
}

/// The search for the socket of one segment.
#[derive(Debug)]
pub struct FirstLookup<'a> {
    /// In the established hash.
    ehash: Option<&'a Lookup>,
    /// Among the listeners.
    listener: Option<&'a Lookup>,
}

impl FirstLookup<'_> {
    /// The established hash was seen to have, or not to have, a socket.
    pub fn ehash_hit(&self) -> Option<bool> {
        self.ehash.map(|lookup| lookup.hit)
    }

    /// The listeners were seen to have, or not to have, one.
    pub fn listener_hit(&self) -> Option<bool> {
        self.listener.map(|lookup| lookup.hit)
    }

    /// How this is known.
    fn observed(&self) -> Option<Observed> {
        self.ehash.or(self.listener).map(|lookup| lookup.observed)
    }

    /// As a fact: for each table `miss`, or the state of what was found.
    pub fn fact(&self) -> Value {
        let found = |lookup: &Lookup| match (lookup.hit, lookup.state) {
            (false, _) => "miss".to_owned(),
            (true, Some(state)) => state.to_string(),
            (true, None) => "hit".to_owned(),
        };
        json!({
            "ehash": self.ehash.map(found),
            "listener": self.listener.map(found),
            "observed": self.observed(),
        })
    }
}

/// The RSTs that a namespace sent or received, oldest first.
pub fn resets(events: &[Event], netns: u32, direction: Direction) -> Vec<&Rst> {
    let rsts = within(events, netns).filter_map(|event| match &event.body {
        Body::Rst(rst) => Some(rst.as_ref()),
        _ => None,
    });
    rsts.filter(|rst| rst.direction == direction).collect()
}

/// The answer that RFC 9293 section 3.5.2 demands to a segment without a connection, as the kernel
/// makes it: no socket, and a reason that says so where the kernel names reasons.
pub fn answers_no_socket(rst: &Rst) -> bool {
    let reason = rst.reason.as_deref().unwrap_or("NO_SOCKET");
    rst.kind == RstKind::Passive && !rst.socket && reason == "NO_SOCKET"
}

/// The segments that left this connection's end through a raw or packet socket, oldest first.
pub fn raw_sends<'a>(events: &'a [Event], tuple: Tuple) -> Vec<(&'a Event, &'a RawSend)> {
    let raw = |event: &'a Event| match &event.body {
        Body::RawSend(raw) => Some((event, raw)),
        _ => None,
    };
    events.iter().filter(|event| tuple.is_of(event)).filter_map(raw).collect()
}

fn within(events: &[Event], netns: u32) -> impl Iterator<Item = &Event> {
    events.iter().filter(move |event| event.netns == Some(netns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::scenarios::tests::{CLIENT, SERVER, Seen};

    #[test]
    fn an_address_that_is_used_again_is_another_life() {
        use TcpState as S;
        let mut seen = Seen::default();
        seen.states(CLIENT, 1, &[S::CLOSE, S::SYN_SENT, S::CLOSE]);
        seen.states(SERVER, 1, &[S::CLOSE, S::LISTEN]);
        seen.states(CLIENT, 1, &[S::CLOSE, S::SYN_SENT, S::ESTABLISHED]);
        let lives = lives(&seen.events, CLIENT.netns);
        let paths: Vec<String> = lives.iter().map(Life::path).collect();
        assert_eq!(paths, ["CLOSE -> SYN_SENT -> CLOSE", "CLOSE -> SYN_SENT -> ESTABLISHED"]);
        assert!(!lives[0].passed(&[S::SYN_SENT, S::ESTABLISHED]));
        assert!(!any_listener(&lives));
    }

    #[test]
    fn the_first_lookup_counts() {
        let mut seen = Seen::default();
        seen.lookup(SERVER, Table::Ehash, None);
        seen.lookup(SERVER, Table::Ehash, Some(TcpState::ESTABLISHED));
        let first = first_lookup(&seen.events, SERVER);
        assert_eq!((first.ehash_hit(), first.listener_hit()), (Some(false), None));
        assert_eq!(first.fact(), json!({ "ehash": "miss", "listener": null, "observed": "probe" }));
        assert_eq!(first_lookup(&seen.events, CLIENT).ehash_hit(), None);
    }
}
