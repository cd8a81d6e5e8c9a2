//! Ground truth: a thousand connections, of which this test knows how each opened.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use serde_json::Value;
use tracer::testbed::{host::Host, segment::Packet, tcp, wire::Wire};

use crate::report::{Trace, of_kind};

/// Of each family.
const PAIRS: usize = 120;
const CROSSINGS: u16 = 65;
/// The ports that clients get by chance.
const RANGE: RangeInclusive<u16> = 20_000..=29_999;
/// Ports that connect to themselves: 130, half of them in that range, on both sides of both its ends.
const SELVES: [RangeInclusive<u16>; 2] = [19_968..=20_032, 29_967..=30_031];
const TIMEOUT: Duration = Duration::from_secs(30);

/// How each connection opened, by its ends as events have them.
type Truth = BTreeMap<(String, String), &'static str>;

fn record(truth: &mut Truth, local: SocketAddr, remote: SocketAddr, how: &'static str) {
    assert_eq!(truth.insert((local.to_string(), remote.to_string()), how), None, "{local} {remote}");
}

#[test]
#[ignore = "needs root"]
fn a_thousand_opens_are_told_apart() {
    let mut truth = Truth::new();
    let sides = [["10.115.20.30", "10.115.20.40"], ["2001:db8::30", "2001:db8::40"]].map(|addresses| {
        let addresses = addresses.map(|address| address.parse().unwrap());
        let hosts = ["left", "right"].map(|name| Host::new(name).unwrap());
        let wire = Wire::join([(&hosts[0], addresses[0]), (&hosts[1], addresses[1])]).unwrap();
        (hosts, wire, addresses)
    });
    let inodes: Vec<_> =
        sides.iter().flat_map(|(hosts, ..)| hosts.each_ref().map(|host| host.netns().to_string())).collect();
    let mut args = vec!["-e", "open,state"];
    args.extend(inodes.iter().flat_map(|inode| ["--netns", inode]));
    let trace = Trace::start(&args);
    for (hosts, wire, addresses) in &sides {
        // In this order: what clients get by chance must not be taken from those that ask for a port.
        connect_to_themselves(&hosts[0], addresses[0], &mut truth);
        cross(hosts, wire, *addresses, &mut truth);
        connect_pairs(&hosts[0], addresses[0], &mut truth);
    }
    let objects = trace.stop();
    let lost = &objects.last().unwrap()["lost"];
    assert_eq!((&lost["ring_buffer"]["state"], &lost["decode"]), (&0.into(), &0.into()), "{lost}");
    assert_eq!(truth.len(), 1000);
    let events = of_kind(&objects, "open");
    assert_eq!(found(&events), truth);
    assert_eq!(events.len(), truth.len(), "each once");
    events.into_iter().for_each(check_details);

    let is_established = |event: &Value| event["event"] == "state" && event["new"] == "ESTABLISHED";
    let states: Vec<_> = objects.iter().filter(|event| is_established(event)).collect();
    assert_eq!(found(&states), truth);
    assert_eq!(states.len(), truth.len(), "each once");
    for event in states {
        assert_eq!(event["old"], if event["opened"] == "active" { "SYN_SENT" } else { "SYN_RECV" }, "{event:#}");
    }
}

fn found(events: &[&Value]) -> Truth {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let how = |event: &Value| match event["opened"].as_str() {
        Some("active") => "active",
        Some("passive") => "passive",
        Some("simultaneous") => "simultaneous",
        Some("self") => "self",
        _ => panic!("{event:#}"),
    };
    events.iter().map(|event| ((text(&event["local"]), text(&event["remote"])), how(event))).collect()
}

fn check_details(event: &Value) {
    let handshake = event["handshake_ns"].as_u64();
    match event["opened"].as_str() {
        Some("passive") => assert_eq!(handshake, None, "{event:#}"),
        _ => assert!(handshake > Some(0), "{event:#}"),
    }
    let local: SocketAddr = event["local"].as_str().unwrap().parse().unwrap();
    let warns = event["opened"] == "self" && RANGE.contains(&local.port());
    assert_eq!(event["warning"].is_string(), warns, "{event:#}");
}

fn connect_to_themselves(host: &Host, address: IpAddr, truth: &mut Truth) {
    let ports = SELVES.into_iter().flatten();
    let ends: Vec<_> = ports.map(|port| SocketAddr::new(address, port)).collect();
    ends.iter().for_each(|&end| record(truth, end, end, "self"));
    host.run(move || {
        // Of the namespace of the thread that writes it.
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", format!("{} {}", RANGE.start(), RANGE.end()))?;
        for end in ends {
            tcp::bound(end, TIMEOUT)?.connect(&end.into())?;
        }
        Ok(())
    })
    .unwrap();
}

/// All SYNs of both hosts are on their way before any arrives.
fn cross(hosts: &[Host; 2], wire: &Wire, addresses: [IpAddr; 2], truth: &mut Truth) {
    wire.hold(Packet::is_syn);
    let mut sockets = Vec::new();
    for (here, host) in hosts.iter().enumerate() {
        let end = move |side: usize, number: u16| SocketAddr::new(addresses[side], 1000 * (side as u16 + 1) + number);
        let ends: Vec<_> = (0..CROSSINGS).map(|number| (end(here, number), end(1 - here, number))).collect();
        ends.iter().for_each(|&(local, remote)| record(truth, local, remote, "simultaneous"));
        let connect = move |(local, remote)| tcp::connecting(local, remote, TIMEOUT);
        sockets.extend(host.run(move || ends.into_iter().map(connect).collect::<anyhow::Result<Vec<_>>>()).unwrap());
    }
    let all = 2 * usize::from(CROSSINGS);
    wire.wait_held("all SYNs", Instant::now() + TIMEOUT, |held| held.len() == all).unwrap();
    wire.release().unwrap();
    for socket in &sockets {
        tcp::connected(socket).unwrap().unwrap();
    }
}

fn connect_pairs(host: &Host, address: IpAddr, truth: &mut Truth) {
    let connect = move || {
        let listener = TcpListener::bind((address, 80))?;
        let mut ends = Vec::new();
        // Open until all are there: a port that is free again may be taken a second time.
        let mut open = Vec::new();
        for _ in 0..PAIRS {
            let client = TcpStream::connect(listener.local_addr()?)?;
            let (server, _) = listener.accept()?;
            ends.push((client.local_addr()?, server.local_addr()?));
            open.push((client, server));
        }
        Ok(ends)
    };
    for (client, server) in host.run(connect).unwrap() {
        record(truth, client, server, "active");
        record(truth, server, client, "passive");
    }
}
