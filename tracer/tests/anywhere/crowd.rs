//! Two hundred thousand sockets alive, and a thousand connections beside them: each is reported, in full where there is
//! room, and the memory that it takes is as it was said.

use std::{
    collections::HashMap,
    fs,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
};

use nix::sys::socket::{setsockopt, sockopt};
use serde_json::Value;
use tracer::testbed::host::Host;

use crate::{
    alone,
    peer::Peer,
    report::{Trace, of_kind},
};

const CROWD: usize = 200_000;
/// Processes that hold them, each within a limit of descriptors that is common.
const HOLDERS: usize = 12;
/// The kernel's memory for a socket with its file, amply.
const BYTES_OF_SOCKET: u64 = 6 << 10;
/// Room that is not enough.
const ROOM: usize = 65_536;
const FURTHER: usize = 1000;
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 9, 9, 9)), 7);

#[test]
#[ignore = "needs root"]
fn beside_200000_sockets_nothing_vanishes() {
    let _alone = alone();
    let crowd = CROWD.min(usize::try_from(available() / 2 / BYTES_OF_SOCKET).unwrap());
    if crowd < CROWD {
        println!("this machine has memory for {crowd} sockets only, not for {CROWD}");
    }
    assert!(crowd > ROOM, "this is no test: there is no memory for more than {crowd} sockets");
    let host = Host::new("crowd").unwrap();
    let netns = host.netns().to_string();
    let short = Trace::start(&["--sockets", &ROOM.to_string(), "-e", "rst,close", "--netns", &netns]);

    let mut holders = host.run(|| Ok((0..HOLDERS).map(|_| Peer::start("holder")).collect::<Vec<_>>())).unwrap();
    let pairs = crowd / 2 / HOLDERS;
    holders.iter_mut().for_each(|holder| holder.tell(&format!("hold {pairs}")));
    holders.iter_mut().for_each(|holder| drop(holder.answer()));
    let sockets = 2 * HOLDERS * pairs;
    // It takes over the whole crowd as it is.
    let whole = Trace::start(&["-e", "state,rst,open,close", "--netns", &netns]);

    // Listeners of the holders are gone again, and what comes next takes their places.
    let fill = || {
        let listener = TcpListener::bind(SERVER)?;
        let pair = |_| anyhow::Ok((TcpStream::connect(SERVER)?, listener.accept()?));
        let filled = (0..HOLDERS).map(pair).collect::<Result<Vec<_>, _>>()?;
        Ok((listener, filled))
    };
    let (listener, filled) = host.run(fill).unwrap();
    let ends = host.run(move || connections(&listener)).unwrap();
    let sockets = sockets + 1 + 2 * filled.len();
    let [short, whole] = [short, whole].map(|mut trace| {
        let last = ends.last().unwrap().to_string();
        trace.wait("the last socket's end", |event| event["event"] == "close" && event["remote"] == last);
        let held = held(trace.pid(), &trace.start["room"]);
        let most = trace.start["room"]["most_bytes"].as_u64().unwrap();
        let objects = trace.stop();
        println!("{:#}\n{held} bytes held of {most} at most", objects.last().unwrap()["lost"]);
        assert!(held <= most, "{held} of {most}");
        objects
    });

    check(&short, &ends, &[("rst", 2), ("close", 2)], true);
    // A listener of a holder had room, which another socket took over, or none itself.
    let without_room = sockets + 2 * FURTHER - ROOM;
    let counted = short.last().unwrap()["lost"]["memory"]["sockets"].as_u64().unwrap();
    assert!((without_room..=without_room + HOLDERS).contains(&(counted as usize)), "{counted}, not {without_room}");
    let told: u64 = of_kind(&short, "loss").iter().filter_map(|it| it["lost"]["memory"]["sockets"].as_u64()).sum();
    assert_eq!(told, counted, "and told while it happens");

    let room = whole[0]["room"]["sockets"].as_u64().unwrap() as usize;
    let is_short = room < sockets + 2 * FURTHER;
    println!("{sockets} sockets in the crowd, room for {room}");
    // The first change of a client comes before it has a port.
    check(&whole, &ends, &[("state", 5), ("open", 2), ("rst", 2), ("close", 2)], is_short);
}

/// Connects and aborts so often. Returns the clients' ends.
fn connections(listener: &TcpListener) -> anyhow::Result<Vec<SocketAddr>> {
    let one = |_| {
        let client = TcpStream::connect(SERVER)?;
        let (mut server, end) = listener.accept()?;
        setsockopt(&client, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
        drop(client);
        anyhow::ensure!(server.read(&mut [0]).is_err(), "it is reset");
        Ok(end)
    };
    (0..FURTHER).map(one).collect()
}

/// Each connection has so many events of each kind, or they are counted as lost.
fn check(objects: &[Value], ends: &[SocketAddr], life: &[(&str, usize)], is_short: bool) {
    let summary = objects.last().unwrap();
    let server = SERVER.to_string();
    for &(kind, count) in life {
        let mut found = HashMap::<&str, usize>::new();
        for event in of_kind(objects, kind) {
            let end = if event["local"] == server { "remote" } else { "local" };
            *found.entry(event[end].as_str().unwrap()).or_default() += 1;
            let is_marked = event["unremembered"] == true;
            // The listener itself is among what has no room, or has it.
            assert_eq!(is_marked, is_short, "{event:#}");
            if !is_marked && kind == "close" {
                assert_eq!(event["owner"]["pid"], std::process::id(), "{event:#}");
                assert!(event["opened"].is_string() && event["lifetime_ns"].is_u64(), "{event:#}");
            }
        }
        let lost =
            summary["lost"]["ring_buffer"][kind].as_u64().unwrap() + summary["lost"]["skipped"].as_u64().unwrap();
        let missing: usize = ends.iter().map(|end| count - found.get(end.to_string().as_str()).unwrap_or(&0)).sum();
        assert!(missing as u64 <= lost, "{missing} {kind} events are missing, {lost} are counted as lost");
    }
}

/// Bytes of the kernel's memory that its maps of sockets and listeners hold (`memlock` of bpf_map_show_fdinfo).
fn held(pid: u32, room: &Value) -> u64 {
    let [sockets, listeners] = ["sockets", "listeners"].map(|name| room[name].as_u64().unwrap());
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().flatten();
    let texts = descriptors.filter_map(|file| fs::read_to_string(file.path()).ok());
    let of =
        |text: &String, name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let is_one = |text: &String| {
        let is_hash = of(text, "map_type:") == Some(1);
        is_hash && of(text, "max_entries:").is_some_and(|most| most == listeners || most >= sockets)
    };
    texts.filter(is_one).filter_map(|text| of(&text, "memlock:")).sum()
}

/// Bytes of memory that are free.
fn available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap() << 10
}
