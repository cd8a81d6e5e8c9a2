//! More sockets than there is room for: each event is reported all the same, or counted as lost, and the shortage is
//! told while it lasts.

use std::{
    collections::BTreeMap,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt};
use serde_json::Value;
use tracer::testbed::host::Host;

use crate::{
    ends,
    report::{Trace, of_kind},
    wait,
};

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7);
/// Pairs of sockets that are alive at one time.
const CROWD: usize = 40;
/// Connections that come and go beside them.
const FURTHER: usize = 20;
/// Events of each of them that have both its ends, at least and at most. The client's first comes before it has a port,
/// and so does the first of the server's on older kernels (`inet_csk_clone_lock` in net/ipv4/inet_connection_sock.c).
const LIFE: [(&str, usize, usize); 4] = [("state", 4, 5), ("open", 2, 2), ("close", 2, 2), ("rst", 2, 2)];
const PATIENCE: Duration = Duration::from_secs(60);

type Pair = (TcpStream, TcpStream);

fn pair(listener: &TcpListener) -> anyhow::Result<Pair> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    Ok((client, listener.accept()?.0))
}

/// Connects, and aborts. Returns the client's end.
fn aborted(listener: &TcpListener) -> anyhow::Result<SocketAddr> {
    let (client, mut server) = pair(listener)?;
    let end = client.local_addr()?;
    setsockopt(&client, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
    drop(client);
    anyhow::ensure!(server.read(&mut [0]).is_err(), "it is reset");
    Ok(end)
}

/// What there is beside a crowd, and after it.
struct Played {
    /// Clients' addresses of the connections beside it.
    beside: Vec<SocketAddr>,
    /// Client's address of a connection after it.
    after: SocketAddr,
}

fn play() -> anyhow::Result<Played> {
    let listener = TcpListener::bind(SERVER)?;
    let crowd = (0..CROWD).map(|_| pair(&listener)).collect::<Result<Vec<_>, _>>()?;
    let beside = (0..FURTHER).map(|_| aborted(&listener)).collect::<Result<_, _>>()?;
    drop(crowd);
    // A processor that is busy takes the last segments of some when those of the next connection are through.
    wait::until("the crowd's end", || Ok(states()?.iter().all(|state| [LISTEN, TIME_WAIT].contains(&state.as_str()))))?;
    Ok(Played { beside, after: aborted(&listener)? })
}

/// TCP_LISTEN and TCP_TIME_WAIT of include/net/tcp_states.h, as /proc has them.
const LISTEN: &str = "0A";
const TIME_WAIT: &str = "06";

/// The states of this namespace's sockets: `sl local_address rem_address st`.
fn states() -> anyhow::Result<Vec<String>> {
    let sockets = std::fs::read_to_string("/proc/thread-self/net/tcp")?;
    Ok(sockets.lines().skip(1).filter_map(|line| line.split_whitespace().nth(3).map(str::to_owned)).collect())
}

/// All that was reported, once the last RST was.
fn stop(mut trace: Trace, played: &Played) -> Vec<Value> {
    let last = played.after.to_string();
    trace.wait("the last socket's end", |event| event["event"] == "close" && event["remote"] == last);
    trace.stop()
}

fn is_of(event: &Value, end: SocketAddr) -> bool {
    let end = end.to_string();
    event["local"] == *end || event["remote"] == *end
}

/// The sum of what was told, by kind.
fn told(objects: &[Value], what: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for loss in of_kind(objects, "loss") {
        for (kind, count) in loss["lost"][what].as_object().unwrap() {
            *sums.entry(kind.clone()).or_default() += count.as_u64().unwrap();
        }
    }
    sums
}

/// Counts of the summary, without zeros.
fn summed(objects: &[Value], what: &str) -> BTreeMap<String, u64> {
    let counts = objects.last().unwrap()["lost"][what].as_object().unwrap();
    let counts = counts.iter().map(|(kind, count)| (kind.clone(), count.as_u64().unwrap()));
    counts.filter(|(_, count)| *count > 0).collect()
}

#[test]
#[ignore = "needs root"]
fn events_of_sockets_that_find_no_room_are_reported_and_marked() {
    const ROOM: usize = 32;
    let host = Host::new("crowded").unwrap();
    let trace = Trace::start(&[
        "--sockets",
        &ROOM.to_string(),
        "-e",
        "state,rst,open,close",
        "--netns",
        &host.netns().to_string(),
    ]);
    assert_eq!(trace.start["room"]["sockets"], ROOM);
    let played = host.run(play).unwrap();
    let objects = stop(trace, &played);

    for &end in &played.beside {
        for (kind, least, most) in LIFE {
            let events: Vec<_> = of_kind(&objects, kind).into_iter().filter(|event| is_of(event, end)).collect();
            assert!((least..=most).contains(&events.len()), "{kind} of {end}: {events:#?}");
            for event in events {
                assert_eq!(event["unremembered"], true, "{event:#}");
                let owner = &event["owner"];
                assert!(owner.is_null() || owner["pid"] == std::process::id(), "{event:#}");
                assert!(owner.is_null() || ["at_work", "listener"].contains(&owner["known"].as_str().unwrap()));
                assert!(event["lifetime_ns"].is_null() && event["handshake_ns"].is_null(), "{event:#}");
            }
        }
    }
    // Once there is room again, all is as ever.
    for event in objects.iter().filter(|event| is_of(event, played.after)) {
        assert!(event["unremembered"].is_null(), "{event:#}");
        assert!(event["event"] != "close" || event["lifetime_ns"].is_u64(), "{event:#}");
    }

    // Listener, crowd and the others, each once.
    let sockets = 1 + 2 * CROWD + 2 * FURTHER - ROOM;
    assert_eq!(summed(&objects, "memory"), [("sockets".to_owned(), sockets as u64)].into());
    let marked = objects.iter().filter(|event| event["unremembered"] == true);
    let mut counts = BTreeMap::<_, u64>::new();
    marked.for_each(|event| *counts.entry(event["event"].as_str().unwrap().to_owned()).or_default() += 1);
    assert_eq!(summed(&objects, "unremembered"), counts);
    assert!(summed(&objects, "undecided").is_empty(), "no filter had to decide");
    for what in ["memory", "unremembered"] {
        assert_eq!(told(&objects, what), summed(&objects, what), "what was told is what is summed up: {what}");
    }
}

/// What is of `all` and not of `shown`, in short.
fn missing(all: &[&Value], shown: &[&Value]) -> Vec<String> {
    let text =
        |event: &&Value| ["local", "remote", "old", "new", "owner"].map(|name| event[name].to_string()).join(" ");
    let shown: Vec<_> = shown.iter().map(text).collect();
    all.iter().map(text).filter(|event| !shown.contains(event)).collect()
}

/// What a trace that filters by process has shown and counted, beside one that shows all: what neither did, in words.
fn undecided_and_not_counted() -> Option<String> {
    let host = Host::new("undecided").unwrap();
    let (netns, pid) = (host.netns().to_string(), std::process::id().to_string());
    let args = ["-e", "state,rst,open,close", "--netns", &netns];
    let filtered = Trace::start(&[&args[..], &["--sockets", "32", "-p", &pid]].concat());
    let whole = Trace::start(&args);
    let played = host.run(play).unwrap();
    let (filtered, whole) = (stop(filtered, &played), stop(whole, &played));
    let undecided = summed(&filtered, "undecided");
    assert!(undecided.contains_key("rst"), "nobody remembers whose socket a RST comes for: {undecided:?}");
    assert_eq!(told(&filtered, "undecided"), undecided);
    assert!(summed(&whole, "memory").is_empty());
    LIFE.iter().find_map(|&(kind, ..)| {
        let [shown, all] = [&filtered, &whole].map(|objects| of_kind(objects, kind).len() as u64);
        let lost = undecided.get(kind).copied().unwrap_or(0);
        let (missing, summary) = (missing(&of_kind(&whole, kind), &of_kind(&filtered, kind)), filtered.last());
        (shown + lost != all)
            .then(|| format!("{kind}: {shown} and {undecided:?} of {all}, not shown are\n{missing:#?}\n{summary:#?}"))
    })
}

/// In one of some twenty runs on a busy, emulated 5.10 the sums differed once, and the reason is not known: a second play
/// may be right, and the first one is shown.
#[test]
#[ignore = "needs root"]
fn what_a_filter_cannot_decide_is_counted() {
    let Some(first) = undecided_and_not_counted() else { return };
    println!("played again, as the sums differ: {first}");
    let second = undecided_and_not_counted();
    assert!(second.is_none(), "{}", second.unwrap_or_default());
}

#[test]
#[ignore = "needs root"]
fn a_shortage_is_told_while_it_lasts() {
    let host = Host::new("short").unwrap();
    let mut trace = Trace::start(&["--sockets", "16", "-e", "state", "--netns", &host.netns().to_string()]);
    let deadline = Instant::now() + PATIENCE;
    let (_listener, _crowd) = host
        .run(|| {
            let listener = TcpListener::bind(SERVER)?;
            let crowd = (0..CROWD).map(|_| pair(&listener)).collect::<Result<Vec<_>, _>>()?;
            Ok((listener, crowd))
        })
        .unwrap();
    let is_told = |objects: &[Value]| told(objects, "memory").get("sockets") == Some(&(2 * CROWD as u64 + 1 - 16));
    assert!(trace.read_until(deadline, is_told), "all of them, while they live: {:#?}", trace.seen);
}

#[test]
#[ignore = "needs root"]
fn more_listeners_than_there_is_room_for_are_counted() {
    const LISTENERS: usize = 30;
    /// The least that there is.
    const ROOM: usize = 16;
    let host = Host::new("listeners").unwrap();
    let mut trace = Trace::start(&["--sockets", "128", "-e", "state,open,close", "--netns", &host.netns().to_string()]);
    assert_eq!(trace.start["room"]["listeners"], ROOM);
    let ports = host
        .run(|| {
            let at = |number: usize| TcpListener::bind((Ipv4Addr::LOCALHOST, 1000 + number as u16));
            let listeners = (0..LISTENERS).map(at).collect::<Result<Vec<_>, _>>()?;
            // None is accepted: only the listener tells whose they are.
            let mut ports = Vec::new();
            for listener in &listeners {
                let to = listener.local_addr()?;
                TcpStream::connect(to)?;
                ports.push(to);
            }
            Ok(ports)
        })
        .unwrap();
    let last = ports.last().unwrap().to_string();
    trace.wait("the last connection", |event| event["event"] == "close" && event["local"] == last);
    let objects = trace.stop();
    assert_eq!(summed(&objects, "memory"), [("listeners".to_owned(), (LISTENERS - ROOM) as u64)].into());
    for (number, end) in ports.iter().enumerate() {
        let is_it = |event: &&&Value| event["local"] == end.to_string();
        let opens = of_kind(&objects, "open");
        let open = opens.iter().find(is_it).unwrap_or_else(|| panic!("{end} is reported"));
        let is_remembered = number < ROOM;
        assert_eq!(open["unremembered"].is_null(), is_remembered, "{number}: {open:#}");
        assert_eq!(open["owner"]["known"] == "listener", is_remembered, "{number}: {open:#}");
    }
}

#[test]
#[ignore = "needs root"]
fn what_is_remembered_goes_with_its_socket() {
    const ROUNDS: u16 = 100;
    let host = Host::new("forgotten").unwrap();
    let mut trace = Trace::start(&["--sockets", "16", "-e", "rst,open,close", "--netns", &host.netns().to_string()]);
    let last = host
        .run(|| {
            for round in 0..ROUNDS {
                let end = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                ends::exchange(end(1000 + round), end(2000 + round));
                ends::refused(end(3000 + round), end(9));
                drop(ends::itself(end(4000 + round)));
                // A listener that chooses its port only now.
                let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
                listener.listen(1)?;
                let to = listener.local_addr()?.as_socket().unwrap();
                TcpStream::connect((Ipv4Addr::LOCALHOST, to.port()))?;
            }
            aborted(&TcpListener::bind(SERVER)?)
        })
        .unwrap();
    trace.wait("the last socket's end", |event| event["event"] == "close" && event["remote"] == last.to_string());
    let objects = trace.stop();
    assert!(summed(&objects, "memory").is_empty(), "{:#}", objects.last().unwrap());
    assert!(objects.iter().all(|event| event["unremembered"].is_null()));
}
