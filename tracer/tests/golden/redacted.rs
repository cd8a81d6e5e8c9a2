//! `--redact`: secrets are in nothing that is shown or recorded, and the diagnosis is what it is without.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use jiff::{Timestamp, tz::TimeZone};
use memchr::memmem;
use serde_json::Value;
use tracer::{
    event::{Confidence, Direction, Listener, Pid, Reader},
    pipeline::enrich::host_facts::Fact,
    recording::{Frame, Preamble, Writer},
    redact::{Key, Redact as _, Redactor, Secret},
    report::{CauseCount, RunInfo, Summary},
    sink::{
        json::Json,
        page::Medium,
        text::{Text, TextStyle},
    },
};
use tracer_ebpf::record::{
    AF_INET, AF_INET6, Circumstances, Close, Header, KIND_CLOSE, KIND_END, KIND_LOOKUP, KIND_OPEN, KIND_PROCESS,
    KIND_QUEUE, KIND_RAW_SEND, KIND_RST, KIND_STATE, KIND_STRAY, KINDS, Lookup, NO_REASON, OWNER_ACTED, Open, Owner,
    PAST_CLOSED, PAST_OTHER, Process, ProcessEnd, Queue, RST_RECEIVED, RST_SENT_ACTIVE, RawSend, Rst, State,
    StateWithClose, StateWithOpen, StateWithStack,
};
use zerocopy::{FromZeros, IntoBytes};

use super::{
    compare_with, file,
    hostile::{KEY, replayed},
};

const PASSWORD: &str = "hunter2";
const USER: &str = "alice";
/// No other bytes of a record look like it.
const UID: u32 = 0x1a2b_3c4d;
const SECRET: Ipv4Addr = Ipv4Addr::new(10, 77, 88, 99);
/// Others of that network.
const NEIGHBOURS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 88, 5), Ipv4Addr::new(10, 77, 88, 6)];
const SECRET_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x7788, 0x9911, 0x2233, 0x4455, 0x6677, 0x8899);
/// With the secret one in it (RFC 3056).
const SECRET_6TO4: Ipv6Addr = Ipv6Addr::new(0x2002, 0x0a4d, 0x5863, 0, 0, 0, 0, 1);
const ALL: [Secret; 3] = [Secret::Cmdline, Secret::User, Secret::Address];
/// What a server sends next, and what it has heard.
const SEQ: u32 = 5000;
const HEARD: u32 = 900;

fn owner() -> Owner {
    let mut comm = [0; 16];
    comm[..4].copy_from_slice(b"curl");
    Owner { cgroup: 99, pid: 812, tid: 812, uid: UID, known: OWNER_ACTED, comm }
}

fn v4(address: Ipv4Addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&address.octets());
    bytes
}

/// Ends of each sort that has an address to hide.
fn ends() -> [(u16, [u8; 16], [u8; 16]); 4] {
    let mapped = SECRET.to_ipv6_mapped().octets();
    [
        (AF_INET, v4(SECRET), v4(NEIGHBOURS[0])),
        (AF_INET, v4(Ipv4Addr::LOCALHOST), v4(SECRET)),
        (AF_INET6, mapped, mapped),
        (AF_INET6, SECRET_V6.octets(), SECRET_6TO4.octets()),
    ]
}

/// A record whose header has a secret in each place for one.
fn planted<T: FromZeros + IntoBytes + zerocopy::Immutable>(
    kind: u16,
    size: usize,
    (family, local_addr, remote_addr): (u16, [u8; 16], [u8; 16]),
    change: impl FnOnce(&mut T),
) -> Vec<u8> {
    let mut record = T::new_zeroed();
    change(&mut record);
    let mut header = Header::new_zeroed();
    (header.kind, header.size, header.mono_ns, header.netns) = (kind, size as u16, 10_000_000_000, 1);
    (header.family, header.local_addr, header.remote_addr) = (family, local_addr, remote_addr);
    (header.local_port, header.remote_port, header.owner) = (80, 4000, owner());
    (header.pid, header.tid, header.sock, header.cookie) = (812, 812, 0xffff_8880_0000_0100, 9);
    let mut bytes = record.as_bytes()[..size].to_vec();
    bytes[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    bytes
}

/// A record of every kind and size, for each sort of ends.
fn every_kind() -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for ends in ends() {
        let rst = |rst: &mut Rst| {
            rst.reason = NO_REASON;
            rst.past.known = PAST_CLOSED | PAST_OTHER;
            (rst.past.owner, rst.past.other.owner) = (owner(), owner());
            rst.past.other.local = SECRET.to_ipv6_mapped().octets();
            rst.past.other.remote = SECRET_V6.octets();
        };
        let hash = |state: &mut State| (state.hash, state.mask, state.hashed, state.new) = (0x5ec2_e75e, 0xffff, 1, 1);
        let process = |process: &mut Process| {
            let arguments = format!("/home/{USER}/bin/curl\0--password={PASSWORD}\0-u\0{USER}\0");
            process.arguments[..arguments.len()].copy_from_slice(arguments.as_bytes());
            process.length = arguments.len() as u32;
        };
        records.extend([
            planted::<Process>(KIND_PROCESS, size_of::<Process>(), ends, process),
            planted::<State>(KIND_STATE, size_of::<State>(), ends, hash),
            planted::<StateWithStack>(KIND_STATE, size_of::<StateWithStack>(), ends, |it| hash(&mut it.state)),
            planted::<StateWithOpen>(KIND_STATE, size_of::<StateWithOpen>(), ends, |it| hash(&mut it.state)),
            planted::<StateWithClose>(KIND_STATE, size_of::<StateWithClose>(), ends, |it| hash(&mut it.state)),
            planted::<Rst>(KIND_RST, Rst::BARE, ends, rst),
            planted::<Rst>(KIND_RST, Rst::WITH_PAST, ends, rst),
            planted::<Rst>(KIND_RST, Rst::WHOLE, ends, rst),
            planted::<Rst>(KIND_STRAY, Rst::WHOLE, ends, |it| {
                rst(it);
                (it.frames, it.stack[0]) = (1, 1);
            }),
            planted::<Lookup>(KIND_LOOKUP, size_of::<Lookup>(), ends, |_| {}),
            planted::<RawSend>(KIND_RAW_SEND, size_of::<RawSend>(), ends, |_| {}),
            planted::<Open>(KIND_OPEN, size_of::<Open>(), ends, |_| {}),
            planted::<Close>(KIND_CLOSE, size_of::<Close>(), ends, |_| {}),
            planted::<Queue>(KIND_QUEUE, size_of::<Queue>(), ends, |queue| queue.counted = 1),
            planted::<ProcessEnd>(KIND_END, size_of::<ProcessEnd>(), ends, |end| {
                (end.exit_code, end.is_sent, end.sender_pid, end.sender_uid) = (9, 1, 813, UID);
            }),
        ]);
    }
    for (bytes, mono_ns) in records.iter_mut().zip((10_000_000_000_u64..).step_by(1_000_000)) {
        // It is the first member of each.
        bytes[..8].copy_from_slice(&mono_ns.to_ne_bytes());
    }
    // What follows a record in its bytes is no part of it.
    let last = records.last_mut().unwrap();
    last.extend(SECRET.octets());
    records
}

/// The first neighbour aborted its connection with the second one, to whom the RST came. Another came to the secret one,
/// between the same ports. Only the addresses tell which of the two is the one that was sent: the numbers do not.
fn aborted() -> Vec<Vec<u8>> {
    let [server, client] = NEIGHBOURS;
    let rst = |local, remote, ports: (u16, u16), number: u32, change: &dyn Fn(&mut Rst)| {
        let mut bytes = planted::<Rst>(KIND_RST, Rst::WHOLE, (AF_INET, v4(local), v4(remote)), change);
        let mut header = Header::new_zeroed();
        header.as_mut_bytes().copy_from_slice(&bytes[..size_of::<Header>()]);
        (header.mono_ns, header.netns, header.sock) = (20_000_000_000 + u64::from(number), number, number.into());
        (header.local_port, header.remote_port) = ports;
        bytes[..size_of::<Header>()].copy_from_slice(header.as_bytes());
        bytes
    };
    let state = |rst: &mut Rst, direction, snd_nxt, rcv_nxt| {
        (rst.direction, rst.reason, rst.socket_state, rst.has_circumstances) = (direction, NO_REASON, 1, 1);
        rst.circumstances = Circumstances { snd_nxt, rcv_nxt, snd_wnd: 1 << 16, ..Circumstances::default() };
    };
    let sent = |rst: &mut Rst| state(rst, RST_SENT_ACTIVE, SEQ, HEARD);
    // Behind a hole.
    let came = |rst: &mut Rst| state(rst, RST_RECEIVED, HEARD, SEQ - 1000);
    vec![
        rst(server, client, (81, 4001), 1, &sent),
        rst(client, server, (4001, 81), 2, &came),
        rst(SECRET, server, (4001, 81), 3, &came),
    ]
}

fn facts() -> Vec<Fact> {
    let listener = |address: IpAddr| Listener { netns: 7, address, pid: Pid::of_record(7), comm: "nginx".to_owned() };
    vec![
        Fact::User { uid: UID, name: USER.to_owned() },
        Fact::Cgroup { id: 99, path: format!("/user.slice/user-{UID}.slice/user@{UID}.service/{USER}.service") },
        Fact::Netns { inode: 1, name: "blue".to_owned() },
        Fact::CommandLine { pid: 813, line: format!("curl --password={PASSWORD} -u {USER}") },
        Fact::Listeners {
            mono_ns: 20_000_000_001,
            listeners: vec![listener(SECRET.into()), listener(SECRET_V6.into())],
        },
        Fact::Reader { mono_ns: 1, reader: Reader { pid: 7, comm: "nginx".to_owned(), unread: 9 } },
        Fact::Lost { mono_ns: 1 },
    ]
}

fn preamble(redacted: BTreeSet<Secret>) -> Preamble {
    Preamble {
        endian: tracer::recording::native_endian().to_owned(),
        boot: Timestamp::UNIX_EPOCH,
        reasons: [].into(),
        drop_reasons: [].into(),
        sees_sent: true,
        attached_ns: 1,
        run: RunInfo {
            version: "0.1.0".to_owned(),
            kernel: "6.12.0".to_owned(),
            probes: [].into(),
            degraded: vec![],
            room: tracer::kernel::room::Room::default(),
            redacted,
        },
    }
}

fn summary() -> Summary {
    let cause = CauseCount {
        cause: "closed_port".to_owned(),
        title: String::new(),
        remedy: String::new(),
        direction: Some(Direction::Sent),
        process: Some("curl".to_owned()),
        peer: Some(SECRET.into()),
        count: 1,
        confidence: Confidence::Likely,
        first: Timestamp::UNIX_EPOCH,
        last: Timestamp::UNIX_EPOCH,
    };
    Summary { causes: Some(vec![cause]), ..Summary::default() }
}

fn frames() -> Vec<Frame> {
    let facts = facts().into_iter().map(Frame::Fact);
    let records = every_kind().into_iter().chain(aborted()).map(Frame::Record);
    let symbol = Frame::Symbol(1, "tcp_v4_rcv".to_owned());
    [symbol].into_iter().chain(facts).chain(records).chain([Frame::Summary(Box::new(summary()))]).collect()
}

fn recording(redacted: BTreeSet<Secret>, frames: Vec<Frame>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, &preamble(redacted)).unwrap();
    for frame in frames {
        match frame {
            Frame::Symbol(address, name) => writer.symbol(address, &name).unwrap(),
            Frame::Fact(fact) => writer.fact(&fact).unwrap(),
            Frame::Record(bytes) => writer.record(&bytes).unwrap(),
            Frame::Loss(loss) => writer.loss(&loss).unwrap(),
            Frame::Summary(summary) => {
                writer.finish(&summary).unwrap();
                return bytes;
            }
            Frame::Continued => unreachable!("it is one file"),
        }
    }
    unreachable!("the summary is the last")
}

fn json(recording: &[u8], args: &[&str]) -> String {
    let (json, error) = replayed(recording, args, Box::new(Json::default()));
    assert_eq!(error, "");
    json
}

fn text(recording: &[u8], args: &[&str]) -> String {
    let style = TextStyle::Trace { tasks: true, evidence: true };
    let (text, error) = replayed(recording, args, Box::new(Text::new(Medium::PLAIN, style, TimeZone::UTC)));
    assert_eq!(error, "");
    text
}

/// The planted secrets, as text and as bytes.
fn needles() -> Vec<Vec<u8>> {
    let texts = [PASSWORD.to_owned(), USER.to_owned(), UID.to_string(), SECRET.to_string(), SECRET_V6.to_string()];
    let hash = 0x5ec2_e75e_u32;
    let mut needles: Vec<Vec<u8>> = texts.map(String::into_bytes).into();
    needles.extend([
        SECRET.octets().to_vec(),
        SECRET_V6.octets()[6..].to_vec(),
        UID.to_le_bytes().to_vec(),
        UID.to_be_bytes().to_vec(),
        hash.to_ne_bytes().to_vec(),
        hash.to_string().into_bytes(),
    ]);
    needles
}

#[track_caller]
fn assert_without_secrets(bytes: &[u8], what: &str) {
    for needle in needles() {
        let found = memmem::find(bytes, &needle).map(|at| &bytes[at.saturating_sub(80)..(at + 80).min(bytes.len())]);
        assert_eq!(found.map(|around| around.escape_ascii().to_string()), None, "{what} has {}", needle.escape_ascii());
    }
}

#[track_caller]
fn assert_same(shown: &str, expected: &str) {
    for (shown, expected) in shown.lines().zip(expected.lines()) {
        assert_eq!(shown, expected);
    }
    assert_eq!(shown.len(), expected.len());
}

/// Cause, confidence and whether it is the peer's, of each event in order.
fn verdicts(json: &str) -> Vec<[Value; 4]> {
    let lines = json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let verdicts = lines.filter(|line| line["verdict"].is_object()).map(|mut line| line["verdict"].take());
    verdicts
        .map(|mut verdict| {
            let inferred = verdict["evidence"].as_array().unwrap().iter().map(|one| one["inferred"].clone()).collect();
            let [cause, confidence, of_peer] = ["cause", "confidence", "of_peer"].map(|member| verdict[member].take());
            [cause, confidence, of_peer, inferred]
        })
        .collect()
}

#[test]
fn the_planted_secrets_are_in_what_is_not_redacted() {
    let recording = recording([].into(), frames());
    let shown = json(&recording, &[]) + &text(&recording, &[]);
    for needle in needles() {
        let is_there = |bytes: &[u8]| memmem::find(bytes, &needle).is_some();
        // An id has one order of bytes in records.
        let is_wanted = needle != UID.to_be_bytes();
        assert_eq!(is_there(&recording) || is_there(shown.as_bytes()), is_wanted, "{}", needle.escape_ascii());
    }
    let kinds: BTreeSet<_> = every_kind().iter().map(|bytes| u16::from_ne_bytes([bytes[24], bytes[25]])).collect();
    assert_eq!(kinds, (0..KINDS as u16).collect(), "a kind has no record here");
}

#[test]
fn no_secret_is_shown_or_recorded_and_the_verdicts_are_the_same() {
    let plain = recording([].into(), frames());
    let shown = json(&plain, &["--redact"]);
    assert_without_secrets(shown.as_bytes(), "JSON");
    assert_without_secrets(text(&plain, &["--redact"]).as_bytes(), "text");

    // As it is recorded: each frame masked on its way to the file.
    let mut redactor = Redactor::new(&ALL.into(), Key::of(*KEY));
    let mut masked = frames();
    masked.iter_mut().for_each(|frame| frame.redact(&mut redactor));
    let masked = recording(ALL.into(), masked);
    assert_without_secrets(&masked, "the recording");
    assert_same(&json(&masked, &[]), &shown);
    // What is masked is not masked again.
    assert_same(&json(&masked, &["--redact"]), &shown);

    let told = verdicts(&json(&plain, &[]));
    assert!(told.len() > 20, "{told:?}");
    assert_eq!(verdicts(&shown), told);
    let of_peer = told.iter().filter(|verdict| verdict[2] == true).count();
    assert_eq!(of_peer, 1, "one RST that came is the one that was sent, its neighbour's is another: {told:?}");
}

#[test]
fn what_is_left_says_where_and_who_is_who() {
    let plain = recording([].into(), frames());
    let shown = json(&plain, &["--redact"]);
    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["redacted"], serde_json::json!(["cmdline", "user", "address"]));
    let (state, owner) = (&lines[1], &lines[1]["owner"]);
    assert!(
        state["local"].as_str().unwrap().starts_with("10.77.88.") && state["local"].as_str().unwrap().ends_with(":80")
    );
    assert!(state["remote"].as_str().unwrap().starts_with("10.77.88."));
    assert_ne!(state["local"], state["remote"]);
    assert_eq!(owner["cmdline"], "curl ...");
    assert_eq!((&owner["uid"], &owner["user"]), (&4_000_000_001_u32.into(), &"user-1".into()));
    assert_eq!(owner["cgroup"], "/user.slice/user-4000000001.slice/user@4000000001.service/...");
    assert!(shown.contains("\"local\":\"127.0.0.1:80\"") && shown.contains("[2001:db8:7788:0:"));
    let text = text(&plain, &["--redact=cmdline"]);
    assert!(text.contains("note: redacted: command lines") && !text.contains("note: redacted: users"), "{text}");
    assert!(text.contains(&SECRET.to_string()) && text.contains(USER) && !text.contains(PASSWORD), "{text}");
}

#[test]
fn filters_ask_for_what_is_true() {
    let plain = recording([].into(), frames());
    let count = |args: &[&str]| json(&plain, args).lines().filter(|line| line.contains("\"local\":")).count();
    let all = count(&[]);
    for filter in [
        ["--addr", "10.77.88.99"],
        ["--addr", "10.77.88.6/31"],
        ["--addr", "2001:db8:7788:9911::/64"],
        ["-u", USER],
        ["-u", "439041101"],
        ["--cgroup", "/user.slice/user-439041101.slice/user@439041101.service/alice.service"],
    ] {
        let selected = count(&filter);
        assert!(selected > 0 && (selected < all || filter[0] != "--addr"), "{filter:?} selects {selected} of {all}");
        assert_eq!(count(&[&filter[..], &["--redact"]].concat()), selected, "{filter:?}");
    }
    assert_eq!(count(&["-u", "user-1", "--redact"]), 0);
}

#[test]
fn the_golden_recording_is_shown_redacted() {
    let golden = std::fs::read(file("trace.recording")).unwrap();
    let masked = json(&golden, &["--redact"]);
    compare_with(&masked, "redacted.json");
    compare_with(&text(&golden, &["--redact"]), "redacted.txt");
    let binary = || std::process::Command::new(env!("CARGO_BIN_EXE_tracer"));
    masked.lines().for_each(|line| drop(super::schema::object(line, binary)));

    let plain = json(&golden, &[]);
    assert_eq!(verdicts(&masked), verdicts(&plain));
    assert!(plain.contains("10.115.20.30") && !masked.contains("10.115.20.30:"), "the client's address");
}

/// Each run has a key of its own.
#[test]
fn two_runs_mask_differently() {
    let directory = tempfile::tempdir().unwrap();
    let planted = directory.path().join("planted");
    std::fs::write(&planted, recording([].into(), frames())).unwrap();
    let run = || {
        let output = super::replay(&planted, &["-j", "--redact"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (one, other) = (run(), run());
    assert_eq!(one.lines().count(), other.lines().count());
    assert_ne!(one, other, "64 bits of each address of IPv6 are the key's");
}
