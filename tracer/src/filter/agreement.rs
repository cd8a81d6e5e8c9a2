//! The programs in the kernel and a replay decide the same of any event, by any filters. The programs' side is their own
//! code ([`wanted`]), compiled for this host; what is modelled is where it looks things up: sets of ports, of networks and
//! of numbers, filled as the loader fills the maps.
//!
//! Not compared: control groups, which the one knows by ids and the other by paths; and what the programs remember of a
//! socket when its owner is not at work, which the live tests play.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use proptest::{collection::vec, prelude::*, sample::select, strategy::ValueTree as _};
use tracer_ebpf::{
    criteria::{
        PortSet, SET_EITHER, SET_LOCAL, SET_REMOTE, sets,
        switches::{FILTER_ENDS, FILTER_OPENS, FILTER_OWNER, NETNS_ONLY},
    },
    record::{
        self, AF_INET, AF_INET6, Header, KIND_STATE, OPEN_ACTIVE, OPEN_PASSIVE, OPEN_RESTORED, OPEN_SELF,
        OPEN_SIMULTANEOUS, OPEN_UNKNOWN, OUTSIDE, OWNER_ACTED, UNREMEMBERED,
    },
    wanted::{self, Identity, Lists},
};
use zerocopy::FromZeros as _;

use super::{Admission, ContainerArgs, Criteria, EndsArgs, FilterArgs, Key, OpeningArgs, ProcessArgs};
use crate::{
    event::{Event, Kind, Opened, Reasons},
    host::clock::Clock,
    pipeline::{
        decode,
        enrich::{Enricher, host_facts::HostFacts, symbols::Symbols},
    },
};

/// What a connection is known by.
#[derive(Debug, Clone)]
struct Connection {
    family: u16,
    local: Ipv6Addr,
    remote: Ipv6Addr,
    ports: (u16, u16),
    netns: u32,
    pid: u32,
    uid: u32,
    comm: String,
    opened: u8,
}

/// Few enough that filters and events meet, beside any.
fn v4() -> impl Strategy<Value = Ipv4Addr> {
    let known = ["0.0.0.0", "10.0.0.1", "10.0.0.2", "10.128.0.1", "127.0.0.1", "255.255.255.255"];
    prop_oneof![4 => select(known.map(|text| text.parse().unwrap()).to_vec()), 1 => any::<Ipv4Addr>()]
}

fn v6() -> impl Strategy<Value = Ipv6Addr> {
    let known = ["::", "::1", "2001:db8::1", "2001:db8::2", "fe80::1", "::fffe:a00:1", "::1:0:0", "64:ff9b::a00:1"];
    prop_oneof![4 => select(known.map(|text| text.parse().unwrap()).to_vec()), 1 => any::<Ipv6Addr>()]
        // Those are IPv4.
        .prop_filter("v4-mapped", |address| address.to_ipv4_mapped().is_none())
}

/// Family and addresses as sockets have them: of an IPv6 socket that speaks IPv4, one may not be known yet.
fn addresses() -> impl Strategy<Value = (u16, Ipv6Addr, Ipv6Addr)> {
    let mapped = |ends: (Ipv4Addr, Ipv4Addr)| (ends.0.to_ipv6_mapped(), ends.1.to_ipv6_mapped());
    let none = Ipv6Addr::UNSPECIFIED;
    prop_oneof![
        (v4(), v4()).prop_map(mapped).prop_map(|(local, remote)| (AF_INET, local, remote)),
        (v4(), v4()).prop_map(mapped).prop_map(|(local, remote)| (AF_INET6, local, remote)),
        v4().prop_map(move |remote| (AF_INET6, none, remote.to_ipv6_mapped())),
        v4().prop_map(move |local| (AF_INET6, local.to_ipv6_mapped(), none)),
        (v6(), v6()).prop_map(|(local, remote)| (AF_INET6, local, remote)),
    ]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![4 => select(vec![0, 1, 63, 64, 65, 80, 443, 8000, 8999, u16::MAX]), 1 => any::<u16>()]
}

fn netns() -> impl Strategy<Value = u32> {
    select(vec![1, 4_026_531_840, u32::MAX])
}

fn comm() -> impl Strategy<Value = String> {
    prop_oneof![select(vec!["nginx", "nginx2", "ngin", "ä", "fifteen-bytes-x"]).prop_map(str::to_owned), "[ -~]{1,15}"]
}

const OPENED: [u8; 6] = [OPEN_UNKNOWN, OPEN_ACTIVE, OPEN_PASSIVE, OPEN_SIMULTANEOUS, OPEN_SELF, OPEN_RESTORED];

fn connection() -> impl Strategy<Value = Connection> {
    let owner = (select(vec![7, 8, 7 | OUTSIDE]), select(vec![0, 7, 1000, u32::MAX]), comm());
    (addresses(), (port(), port()), netns(), owner, select(OPENED.to_vec())).prop_map(
        |((family, local, remote), ports, netns, (pid, uid, comm), opened)| Connection {
            family,
            local,
            remote,
            ports,
            netns,
            pid,
            uid,
            comm,
            opened,
        },
    )
}

/// Values of an option, or none: then it filters nothing.
fn some<T: std::fmt::Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![2 => Just(()).prop_map(|()| Vec::new()), 1 => vec(one, 1..3)]
}

/// As one may write them.
fn ports() -> impl Strategy<Value = String> {
    let known = ["1", "63-64", "80", "0080", "443", "8000-8999", "1-65535", "65535"];
    prop_oneof![
        select(known.map(str::to_owned).to_vec()),
        (1..=u16::MAX, 1..=u16::MAX).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
    ]
}

fn network() -> impl Strategy<Value = String> {
    prop_oneof![
        (v4(), 0..=32u8).prop_map(|(address, prefix)| format!("{address}/{prefix}")),
        (v4(), 96..=128u8).prop_map(|(address, prefix)| format!("::ffff:{address}/{prefix}")),
        (v6(), 0..=128u8).prop_map(|(address, prefix)| format!("{address}/{prefix}")),
        select(vec!["::/0", "::/80", "::/95", "0.0.0.0/0"]).prop_map(str::to_owned),
        v4().prop_map(|address| address.to_string()),
    ]
}

/// A number, perhaps not as it is printed.
fn number(of: impl Strategy<Value = u32>) -> impl Strategy<Value = String> {
    (of, select(vec!["", "0", "+"])).prop_map(|(number, before)| format!("{before}{number}"))
}

fn filters() -> impl Strategy<Value = FilterArgs> {
    let parsed = || some(ports()).prop_map(|all| all.iter().map(|text| text.parse().unwrap()).collect());
    let networks = some(network()).prop_map(|all| all.iter().map(|text| super::ends::network(text).unwrap()).collect());
    let ends = (parsed(), parsed(), parsed(), networks, 0..3u8);
    let owner = (some(select(vec![7, 8])), some(number(select(vec![0, 7, 1000]))), some(comm()));
    let opens =
        some(select(vec![Opened::Active, Opened::Passive, Opened::Simultaneous, Opened::Itself, Opened::Restored]));
    (ends, owner, opens, some(number(netns()))).prop_map(|(ends, (pids, users, comms), opens, netns)| {
        let (ports, local_ports, remote_ports, networks, family) = ends;
        let (ipv4, ipv6) = (family == 1, family == 2);
        FilterArgs {
            ends: EndsArgs { ports, local_ports, remote_ports, networks, ipv4, ipv6 },
            process: ProcessArgs { pids, users, comms, ..ProcessArgs::default() },
            opening: OpeningArgs { opens },
            container: ContainerArgs { netns, ..ContainerArgs::default() },
        }
    })
}

/// The maps, as the loader fills them.
#[derive(Clone, Copy)]
struct Filled<'a>(&'a Criteria);

impl Lists for Filled<'_> {
    fn has_port(self, set: u32, port: u16) -> bool {
        let none = Box::new([0; 1024]);
        let found: Option<&Box<PortSet>> = self.0.ports.iter().find(|(index, _)| *index == set).map(|(_, ports)| ports);
        assert!([SET_EITHER, SET_LOCAL, SET_REMOTE].contains(&set));
        wanted::has_port(found.unwrap_or(&none), port)
    }

    /// Any of a trie's prefixes that fits makes a match.
    fn has_address(self, address: [u8; 16]) -> bool {
        let address = u128::from_be_bytes(address);
        self.0.networks.iter().any(|(prefix, network)| {
            (address ^ u128::from_be_bytes(*network)).checked_shr(128 - prefix).unwrap_or(0) == 0
        })
    }
}

/// As a program writes it.
fn header(connection: &Connection) -> Header {
    let Connection { family, local, remote, ports, netns, pid, uid, comm, opened } = connection;
    let mut header = Header::new_zeroed();
    let address = |address: &Ipv6Addr| match address.to_ipv4_mapped().filter(|_| *family == AF_INET) {
        Some(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            bytes
        }
        None => address.octets(),
    };
    (header.kind, header.family, header.netns) = (KIND_STATE, *family, *netns);
    (header.local_addr, header.remote_addr) = (address(local), address(remote));
    (header.local_port, header.remote_port) = *ports;
    header.opened = *opened | if *uid == 0 { UNREMEMBERED } else { 0 };
    header.owner = record::Owner { pid: *pid, tid: *pid, uid: *uid, known: OWNER_ACTED, ..Default::default() };
    header.owner.comm[..comm.len()].copy_from_slice(comm.as_bytes());
    header
}

/// What the programs decide.
fn is_wanted(criteria: &Criteria, header: &Header) -> bool {
    let words = |bytes: [u8; 16]| {
        let (first, second) = (bytes.first_chunk(), bytes.last_chunk());
        [first, second].map(|word| u64::from_ne_bytes(*word.unwrap()))
    };
    let ends = Identity {
        family: header.family,
        local: words(header.local_addr),
        remote: words(header.remote_addr),
        local_port: header.local_port,
        remote_port: header.remote_port,
    };
    let switch = |name: &str| criteria.switches.get(name).copied().unwrap_or(0);
    let has = |set: &str, key: Key| criteria.sets.get(set).is_some_and(|keys| keys.contains(&key));
    (switch(NETNS_ONLY) == 0 || has(sets::NETNS, Key::Number(header.netns)))
        && wanted::are_ends(switch(FILTER_ENDS), Filled(criteria), &ends, false)
        && wanted::is_owner(
            switch(FILTER_OWNER),
            || has(sets::PIDS, Key::Number(header.owner.pid)),
            || has(sets::UIDS, Key::Number(header.owner.uid)),
            || has(sets::COMMS, Key::Name(header.owner.comm)),
            || unreachable!("no control group was asked for"),
        )
        && wanted::is_opening(switch(FILTER_OPENS), header.opened & !UNREMEMBERED)
}

/// What a replay makes of the record.
fn event(header: Header) -> Event {
    let symbols = Symbols::Recorded(Default::default());
    let (clock, facts) = (Clock::since(Timestamp::UNIX_EPOCH), HostFacts::recorded());
    let mut state = record::State::new_zeroed();
    state.header = header;
    Enricher::new(clock, symbols, facts, Reasons::default()).event(decode::Body::State(state).into()).unwrap()
}

/// What they mean on a host that has these processes.
fn criteria(args: &FilterArgs) -> Criteria {
    let mut others = args.clone();
    others.process.pids.clear();
    let mut criteria = Criteria::of_host(&others).unwrap();
    args.process.pids.iter().for_each(|pid| criteria.want_process(*pid));
    criteria
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_programs_and_a_replay_decide_the_same(args in filters(), connection in connection()) {
        let header = header(&connection);
        let event = event(header);
        let admitted = Admission::new(args.clone(), Kind::ALL.into_iter().collect()).admits(&event);
        prop_assert_eq!(is_wanted(&criteria(&args), &header), admitted, "{:?}", event);
    }
}

/// Were they all refused, or all let pass, the property would say nothing.
#[test]
fn of_random_events_some_pass_random_filters_and_some_do_not() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut passed = [0; 2];
    for _ in 0..2000 {
        let (args, connection) = (filters(), connection()).new_tree(&mut runner).unwrap().current();
        passed[usize::from(is_wanted(&criteria(&args), &header(&connection)))] += 1;
    }
    assert!(passed.iter().all(|count| *count > 100), "{passed:?}");
    // Each end by itself, so that the maps' model is no tautology.
    let net = |text: &str| vec![super::ends::network(text).unwrap()];
    let at = |networks| {
        let ends = EndsArgs { networks, ..EndsArgs::default() };
        is_wanted(&criteria(&FilterArgs { ends, ..FilterArgs::default() }), &header(&sample()))
    };
    assert!(at(net("10.0.0.0/8")) && !at(net("11.0.0.0/8")) && !at(net("::/0")));
}

/// An IPv6 socket that speaks IPv4, and is not bound yet.
fn sample() -> Connection {
    Connection {
        family: AF_INET6,
        local: Ipv6Addr::UNSPECIFIED,
        remote: Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped(),
        ports: (0, 80),
        netns: 1,
        pid: 7,
        uid: 0,
        comm: "nginx".to_owned(),
        opened: OPEN_ACTIVE,
    }
}
