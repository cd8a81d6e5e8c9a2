//! `--redact` in a live run: real processes with secrets, whose verdicts are as in a run beside it that hides nothing.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use memchr::memmem;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tracer::testbed::{
    host::Host,
    link::{LOOPBACK, add_address},
    tun,
};

use crate::{
    child::{self, Player},
    observe::wait_closed,
    report::{Trace, objects, run},
};

const PASSWORD: &str = "hunter2";
/// Nobody has it, and no other bytes of a recording look like it.
const UID: u32 = 0x1a2b_3c4d;
/// Each is alone in its network, where none is masked by itself.
const SECRETS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 88, 99), Ipv4Addr::new(10, 66, 55, 44)];
const SECRET_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0x88, 0x99, 0x1122, 0x3344, 0x5566, 0x7788, 0x99aa);
const EVENTS: &str = "state,rst,open,close";
const CLOSES: usize = 8;

/// As text, and as the bytes of records.
fn needles() -> Vec<Vec<u8>> {
    let [one, other] = SECRETS;
    let texts = [PASSWORD, "nobody", "65534", &UID.to_string(), &one.to_string(), &other.to_string()];
    let texts = texts.map(|text| text.as_bytes().to_vec());
    let bytes = [&one.octets()[..], &other.octets(), &SECRET_V6.octets()[8..], &UID.to_ne_bytes()];
    texts.into_iter().chain([SECRET_V6.to_string().into_bytes()]).chain(bytes.map(<[u8]>::to_vec)).collect()
}

#[track_caller]
fn assert_without_secrets(bytes: &[u8], what: &str) {
    for needle in needles() {
        let found = memmem::find(bytes, &needle).map(|at| &bytes[at.saturating_sub(80)..(at + 80).min(bytes.len())]);
        assert_eq!(found.map(|around| around.escape_ascii().to_string()), None, "{what} has {}", needle.escape_ascii());
    }
}

/// What is told of each RST, by what no mask changes.
fn verdicts(objects: &[Value]) -> Vec<String> {
    let port = |event: &Value, end: &str| event[end].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    let of_one = |event: &Value| {
        let verdict = &event["verdict"];
        let (local, remote) = (port(event, "local"), port(event, "remote"));
        let told = ["cause", "confidence", "of_peer"].map(|member| verdict[member].to_string()).join(" ");
        format!("{} {local} {remote} {told} {}", event["direction"], event["listeners"].as_array().unwrap().len())
    };
    let mut all: Vec<_> = objects.iter().filter(|object| object["event"] == "rst").map(of_one).collect();
    // Those of two processors may come in either order.
    all.sort_unstable();
    all
}

/// Listens at the first secret's port 2009, but on another device than that which has it: only who asks for the true
/// address finds it.
fn listen_on_device(host: &Host) -> (Socket, File) {
    let listen = || {
        let device = tun::open([10, 44, 33, 22].into())?;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind_device(Some(b"wire0"))?;
        socket.bind(&SocketAddr::from((SECRETS[0], 2009)).into())?;
        socket.listen(1)?;
        Ok((socket, device))
    };
    host.run(listen).unwrap()
}

fn play(host: &Host) -> [Player; 2] {
    let start = || {
        let [one, other] = SECRETS;
        for address in [IpAddr::from(one), other.into()] {
            add_address(LOOPBACK, address, 24)?;
        }
        add_address(LOOPBACK, SECRET_V6.into(), 64)?;
        let end = |address: IpAddr, port| SocketAddr::new(address, port).to_string();
        // A SYN that is refused, since its port is listened on elsewhere.
        let secret = format!(
            "user {UID}; wait; exchange {} {}; exchange {} {}; listen {}; refused {} {}; refused {} {}; wait",
            end(one.into(), 2001),
            end(other.into(), 2002),
            end(SECRET_V6.into(), 2003),
            end(SECRET_V6.into(), 2004),
            end(other.into(), 2005),
            end(one.into(), 2006),
            end(one.into(), 2005),
            end(one.into(), 2010),
            end(one.into(), 2009),
        );
        let nobody = format!("user 65534; wait; exchange {} {}", end(one.into(), 2007), end(other.into(), 2008));
        // To libtest it is the name of a test that there is not.
        Ok([secret, nobody].map(|part| {
            let mut command = child::player(&part);
            command.arg(format!("password={PASSWORD}"));
            Player::of(command)
        }))
    };
    host.run(start).unwrap()
}

#[test]
#[ignore = "needs root"]
fn a_run_and_its_recording_tell_no_secret_and_the_same_verdicts() {
    let directory = tempfile::tempdir().unwrap();
    let recording = directory.path().join("recording");
    let host = Host::new("redacted").unwrap();
    let mut players = play(&host);
    let netns = host.netns().to_string();
    let mut plain = Trace::start(&["--netns", &netns, "-e", EVENTS]);
    // Filters ask for what is true: the first network is in none that is kept.
    let file = recording.to_str().unwrap();
    let addresses = format!("10.77.88.96/29,{},{SECRET_V6}", SECRETS[1]);
    let args = ["--netns", &netns, "-e", EVENTS, "--addr", &addresses, "-w", file, "--redact"];
    let mut masked = Trace::start(&args);
    // Who listens elsewhere is asked when the RST is read: until then the listeners must be there.
    let listener = listen_on_device(&host);
    players[0].go();
    players[0].wait_ready();
    for trace in [&mut masked, &mut plain] {
        let is_last = |event: &Value| {
            event["event"] == "rst"
                && event["direction"] == "received"
                && event["remote"].as_str().unwrap().ends_with(":2009")
        };
        trace.wait("the last RST that came", is_last);
    }
    drop(listener);
    players.iter_mut().for_each(Player::end);
    wait_closed(&mut masked, CLOSES);
    wait_closed(&mut plain, CLOSES);
    let (plain, masked) = (plain.stop(), masked.stop());

    assert_eq!(masked[0]["redacted"], serde_json::json!(["cmdline", "user", "address"]));
    let shown: String = masked.iter().map(|object| format!("{object}\n")).collect();
    assert_without_secrets(shown.as_bytes(), "the JSON");
    assert_without_secrets(&fs::read(&recording).unwrap(), "the recording");
    assert_eq!(objects(&run(&["replay", "-j", file]).stdout), masked, "a replay shows what was shown");
    assert_without_secrets(&run(&["replay", "--evidence", "--tasks", file]).stdout, "the text");

    let told = verdicts(&plain);
    let is_told =
        |port: &str, cause: &str| told.iter().any(|it| it.contains(port) && it.contains(cause) && it.ends_with('1'));
    assert!(is_told("2005", "listener_elsewhere"), "{told:?}");
    assert!(is_told("\"received\" 2010 2009", "listener_elsewhere"), "{told:?}");
    assert_eq!(verdicts(&masked), told);
    what_is_left(&plain, &masked);
}

/// The program, that it is the same user, the network.
fn what_is_left(plain: &[Value], masked: &[Value]) {
    let program =
        |line: &str| Path::new(line.split(' ').next().unwrap()).file_name().unwrap().to_str().unwrap().to_owned();
    let of = |objects: &[Value], port: u16| {
        let is_it = |event: &&Value| {
            event["event"] == "open" && event["local"].as_str().unwrap().ends_with(&format!(":{port}"))
        };
        objects.iter().find(is_it).unwrap_or_else(|| panic!("no connection of {port}")).clone()
    };
    let (told, left) = (of(plain, 2001), of(masked, 2001));
    let line = told["owner"]["cmdline"].as_str().unwrap();
    assert!(line.contains(PASSWORD), "the secret was there: {line}");
    assert_eq!(left["owner"]["cmdline"], format!("{} ...", program(line)));
    let users = [2001, 2003, 2007].map(|port| of(masked, port)["owner"]["user"].clone());
    assert!(
        users[0] == users[1] && users[0] != users[2] && users[0].as_str().unwrap().starts_with("user-"),
        "{users:?}"
    );
    let ends = ["local", "remote"].map(|end| left[end].as_str().unwrap().to_owned());
    assert!(ends[0].starts_with("10.77.88.") && ends[1].starts_with("10.66.55."), "{ends:?}");
    assert!(of(masked, 2003)["local"].as_str().unwrap().starts_with("[fd77:88:99:"));
}
