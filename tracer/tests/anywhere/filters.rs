//! Filters: what is inside of each is reported, and nothing else takes room in the ring buffer.

use std::{
    io::Read as _,
    net::{TcpListener, TcpStream},
};

use serde_json::Value;
use tracer::testbed::host::Host;

use crate::{
    cgroup::Group,
    child::Player,
    ends::{exchange, itself, refused},
    observe::{Case, observe, wait_closed},
    report::Trace,
};

fn port(event: &Value, end: &str) -> u16 {
    event[end].as_str().and_then(|end| end.rsplit(':').next()).and_then(|port| port.parse().ok()).unwrap_or(0)
}

/// An end has one of these ports.
fn has(ports: &'static [u16]) -> impl Fn(&Value) -> bool {
    move |event| ["local", "remote"].into_iter().any(|end| ports.contains(&port(event, end)))
}

fn starts(event: &Value, addresses: &[&str]) -> bool {
    let ends = ["local", "remote"].map(|end| event[end].as_str().unwrap_or_default());
    addresses.iter().any(|address| ends.iter().any(|end| end.starts_with(address)))
}

/// In 127.0.0.0/8 and ::1; the fourth is of IPv6 sockets that speak IPv4.
fn connections() {
    let end = |text: &str| text.parse().unwrap();
    exchange(end("127.0.0.1:1001"), end("127.0.0.1:80"));
    exchange(end("127.0.0.2:1002"), end("127.0.0.3:8005"));
    exchange(end("[::1]:1003"), end("[::1]:8999"));
    exchange(end("[::ffff:127.0.0.4]:1004"), end("[::ffff:127.0.0.9]:9000"));
    refused(end("127.0.0.1:1005"), end("127.0.0.1:9005"));
    drop(itself(end("127.0.0.6:1006")));
}
const CLOSES: usize = 10;

fn observe_connections(cases: &[Case]) {
    let host = Host::new("filtered").unwrap();
    observe(host.netns(), CLOSES, cases, || {
        let play = || {
            connections();
            Ok(())
        };
        host.run(play).unwrap();
    });
}

/// The client has no port yet when it begins to connect; who it is, is known from then. A new namespace gives those from
/// 32768 to 60999.
#[test]
#[ignore = "needs root"]
fn by_a_port_that_the_kernel_gives() {
    let host = Host::new("given").unwrap();
    let cases = [
        Case::new("-L 32768-60999", |event| port(event, "local") >= 32768),
        Case::new("-P 60999,32768-60998", |event| port(event, "local").max(port(event, "remote")) >= 32768),
        Case::nothing("-L 1-79,81-32767"),
        Case::nothing("-P 1-79"),
    ];
    observe(host.netns(), 2, &cases, || {
        let connect = || {
            let listener = TcpListener::bind("127.0.0.1:80")?;
            let client = TcpStream::connect(listener.local_addr()?)?;
            let (mut server, _) = listener.accept()?;
            drop(client);
            Ok(server.read(&mut [0])?)
        };
        assert_eq!(host.run(connect).unwrap(), 0);
    });
}

#[test]
#[ignore = "needs root"]
fn by_port() {
    observe_connections(&[
        Case::new("-P 80,8000-8999 -P 1006", has(&[80, 8005, 8999, 1006])),
        Case::new("-L 1002,8990-9010", |event| [1002, 8999, 9000, 9005].contains(&port(event, "local"))),
        Case::new("-D 1002,8990-9010", |event| [1002, 8999, 9000, 9005].contains(&port(event, "remote"))),
        Case::new("-L 80 -D 1001-1003", |event| port(event, "local") == 80 && port(event, "remote") == 1001),
        Case::nothing("-P 80 -D 8999"),
    ]);
}

#[test]
#[ignore = "needs root"]
fn by_address_and_family() {
    observe_connections(&[
        Case::new("--addr 127.0.0.2/31,127.0.0.9", |event| starts(event, &["127.0.0.2:", "127.0.0.3:", "127.0.0.9:"])),
        Case::new("--addr ::/64", |event| event["family"] == "ipv6"),
        Case::new("-4", |event| event["family"] == "ipv4"),
        Case::new("-6", |event| starts(event, &["[::1]:"])),
        Case::nothing("--addr ::1 -4"),
    ]);
}

#[test]
#[ignore = "needs root"]
fn by_kind_and_opening() {
    let kind = |kinds: &'static [&str]| move |event: &Value| kinds.iter().any(|kind| event["event"] == *kind);
    observe_connections(&[
        Case::new("-e open,rst", kind(&["open", "rst"])),
        Case::new("-e close", kind(&["close"])),
        // From the moment on at which it is open, which is the state change to ESTABLISHED.
        Case::new("--opens self", |event| {
            starts(event, &["127.0.0.6:"]) && !["SYN_SENT", "SYN_RECV"].iter().any(|state| event["new"] == *state)
        }),
        Case::new("--opens active,passive", |event| event["opened"] == "active" || event["opened"] == "passive"),
        Case::nothing("--opens simultaneous"),
    ]);
}

#[test]
#[ignore = "needs root"]
fn by_network_namespace() {
    let [inside, outside] = ["inside", "outside"].map(|name| Host::new(name).unwrap());
    let [a, b] = [&inside, &outside].map(|host| host.netns().to_string());
    let one = Trace::start(&["--netns", &a, "-e", "state,close"]);
    let mut both = Trace::start(&["--netns", &a, "--netns", &b, "-e", "state,close"]);
    for host in [&outside, &inside] {
        host.run(|| {
            drop(itself("127.0.0.1:1001".parse()?));
            Ok(())
        })
        .unwrap();
    }
    wait_closed(&mut both, 2);
    let of = |objects: &[Value], netns: u32| objects.iter().filter(|event| event["netns"] == netns).count();
    let (one, both) = (one.stop(), both.stop());
    let there = of(&both, inside.netns());
    assert!(there >= 6, "each state and the end: {both:#?}");
    assert_eq!(of(&both, outside.netns()), there, "both did the same");
    assert_eq!((of(&one, inside.netns()), of(&one, outside.netns())), (there, 0));
    let submitted = |objects: &[Value]| objects.last().unwrap()["submitted"].clone();
    let count = |objects: &[Value]| submitted(objects)["state"].as_u64().zip(submitted(objects)["close"].as_u64());
    assert_eq!(count(&one).map(|(state, close)| (state * 2, close * 2)), count(&both));
    assert_eq!(submitted(&one)["process"], 1);
}

/// Each player's ends have the ports N0 and N1 to N3, so that it can be told by other means than its owner.
/// The RST that it is refused by has no socket, so no owner.
fn of_player(ports: &'static [u16]) -> impl Fn(&Value) -> bool {
    let has = has(ports);
    move |event| has(event) && (event["event"] != "rst" || event["socket"] == true)
}

const ALICE: &[u16] = &[2010, 2011];
const BOB: &[u16] = &[2020, 2021, 2022, 2023];
const CAROL: &[u16] = &[2030, 2031];
const CAROLS_CHILD: &[u16] = &[2040, 2041];
const OTHERS: [&str; 3] = [
    "name alice; user 65534; wait; exchange 127.0.0.1:2011 127.0.0.1:2010; wait",
    "name bob; wait; exchange 127.0.0.1:2021 127.0.0.1:2020; refused 127.0.0.1:2022 127.0.0.1:2023; wait",
    "wait; exchange 127.0.0.1:2031 127.0.0.1:2030; spawn; name child; exchange 127.0.0.1:2041 127.0.0.1:2040",
];
const THEIR_CLOSES: usize = 9;

/// Runs the players in a namespace of their own.
fn observe_players(cases: impl FnOnce([u32; 3]) -> Vec<Case>) {
    let host = Host::new("players").unwrap();
    let players = host.run(|| Ok(OTHERS.map(Player::start))).unwrap();
    let cases = cases(players.each_ref().map(Player::pid));
    let mut players = players;
    observe(host.netns(), THEIR_CLOSES, &cases, || players.iter_mut().for_each(Player::go));
    players.iter_mut().for_each(Player::end);
}

#[test]
#[ignore = "needs root"]
fn by_process() {
    observe_players(|[alice, bob, carol]| {
        vec![
            Case::new(&format!("-p {alice}"), of_player(ALICE)),
            Case::new(&format!("-p {alice},{bob}"), of_player([ALICE, BOB].concat().leak())),
            Case::new(&format!("-p {carol}"), of_player(CAROL)),
            Case::new(&format!("-p {carol} -f"), of_player([CAROL, CAROLS_CHILD].concat().leak())),
            Case::nothing(&format!("-p {alice} -u 0")),
        ]
    });
}

#[test]
#[ignore = "needs root"]
fn by_user_and_name() {
    observe_players(|[_, bob, _]| {
        vec![
            Case::new("-u 65534", of_player(ALICE)),
            Case::new("-u 0,7", |event| !of_player(ALICE)(event) && event["owner"].is_object()),
            Case::new("--comm bob", of_player(BOB)),
            Case::new("--comm alice --comm child", of_player([ALICE, CAROLS_CHILD].concat().leak())),
            Case::new(&format!("--comm bob --comm alice -p {bob}"), of_player(BOB)),
        ]
    });
}

#[test]
#[ignore = "needs root"]
fn by_control_group() {
    let group = match Group::new() {
        Ok(group) => group,
        Err(error) => return eprintln!("skipped: no control group can be made here: {error}"),
    };
    let path = &group.path;
    observe_players(|[_, bob, carol]| {
        group.take_below(bob);
        group.take_below(carol);
        let members = [BOB, CAROL, CAROLS_CHILD].concat().leak();
        vec![
            Case::new(&format!("--cgroup {path}"), of_player(members)),
            Case::new(&format!("--cgroup {path}/below --comm bob"), of_player(BOB)),
            Case::nothing(&format!("--cgroup {path} --comm alice")),
        ]
    });
}
