//! Recordings that somebody made to take all memory, or for ever: each is replayed within the bound of its length, and
//! four times as much takes no more than so many times as long.

use std::ops::Range;

use tracer::sink::format::Format;
use tracer_ebpf::record::{
    KIND_RST, OPEN_UNKNOWN, OWNER_ACTED, Owner, RST_FRAMES, RST_RECEIVED, RST_SENT_PASSIVE, Rst,
};
use tracer_fuzz::{
    golden,
    pipeline::{Frame, LIMIT, show},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use self::proportional::is_proportional;

#[path = "../../src/proportional.rs"]
mod proportional;

/// Records of a short load and of a long one.
const SHORT: usize = 1_000;
const LONG: usize = 4 * SHORT;
/// A square would take 16 times as long.
const RATIO: u32 = 9;

/// A RST that came for an open connection, of which nobody saw the sending.
fn came(number: usize) -> Rst {
    let mut rst = Rst::new_zeroed();
    rst.header.kind = KIND_RST;
    rst.header.size = u16::try_from(Rst::WHOLE).unwrap();
    (rst.header.family, rst.header.netns, rst.header.opened) = (2, 1, OPEN_UNKNOWN);
    (rst.header.mono_ns, rst.header.sock) = (1_000_000_000, 64 + 64 * number as u64);
    rst.header.remote_addr[..4].copy_from_slice(&(0x0a00_0000 + number as u32).to_be_bytes());
    (rst.direction, rst.socket_state) = (RST_RECEIVED, 1);
    rst
}

fn record(rst: &Rst) -> Frame {
    (b'R', rst.as_bytes()[..usize::from(rst.header.size)].to_vec())
}

fn symbol(address: u64, name: &str) -> Frame {
    (b'S', [&address.to_le_bytes(), name.as_bytes()].concat())
}

fn fact(json: String) -> Frame {
    (b'F', json.into_bytes())
}

fn owned(mut rst: Rst, number: usize, change: impl Fn(&mut Owner, u32)) -> Rst {
    rst.header.owner = Owner { pid: 1, uid: u32::MAX, known: OWNER_ACTED, ..Owner::default() };
    change(&mut rst.header.owner, number as u32);
    rst
}

/// The recording of as many rounds.
fn recording(before: &[Frame], rounds: Range<usize>, round: impl Fn(usize) -> Vec<Frame>) -> Vec<u8> {
    let golden = golden::frames();
    let own: Vec<Frame> = before.iter().cloned().chain(rounds.flat_map(round)).collect();
    let own = own.iter().map(|(tag, bytes)| (*tag, &bytes[..]));
    golden::recording(golden.first().copied().into_iter().chain(own).chain(golden.last().copied()))
}

/// Each record is told in each format, within the bounds.
fn hold(before: &[Frame], told: usize, round: impl Fn(usize) -> Vec<Frame>) {
    let [short, long] = [SHORT, LONG].map(|count| recording(before, 0..count, &round));
    for format in [Format::Text, Format::Json] {
        let work = |count| {
            let recording = if count == SHORT { &short } else { &long };
            // What is shown is this test's, and not the tracer's.
            let (shown, error) = LIMIT.hold(2 * recording.len(), || show(1, format, recording));
            assert_eq!(error, "");
            match format {
                Format::Text => assert!(shown.lines().count() > told * count),
                Format::Json => {
                    let lines = shown.lines().filter(|line| line.contains(r#""event":"rst""#)).count();
                    assert_eq!(lines, told * count, "each is told once");
                }
            }
        };
        assert!(is_proportional(work, SHORT, LONG, RATIO), "{format:?} takes more than its share of time");
    }
}

/// Time stands still, so each waits for its sending.
#[test]
fn rsts_that_wait_for_a_sending_that_never_comes() {
    hold(&[], 1, |number| vec![record(&came(number))]);
}

/// The answers are to another's segments, and each time all that waits could be searched.
#[test]
fn answers_amid_many_that_wait() {
    hold(&[], 2, |number| {
        let mut own = came(number);
        own.socket_state = 4;
        let mut answer = came(number % 200);
        answer.direction = RST_SENT_PASSIVE;
        answer.header.remote_port = 9;
        vec![record(&own), record(&answer)]
    });
}

#[test]
fn a_function_with_a_name_that_fills_a_frame() {
    hold(&[symbol(7, &"x".repeat(1 << 19))], 1, |number| {
        let mut rst = came(number);
        (rst.frames, rst.stack) = (RST_FRAMES as u32, [7; RST_FRAMES]);
        vec![record(&rst)]
    });
}

#[test]
fn a_control_group_with_a_path_that_fills_a_frame() {
    let group = fact(format!(r#"{{"cgroup":{{"id":7,"path":"/{}"}}}}"#, "x".repeat(1 << 19)));
    hold(&[group], 1, |number| {
        vec![record(&owned(came(number), number, |owner, number| (owner.cgroup, owner.tid) = (7, number)))]
    });
}

#[test]
fn a_command_line_that_fills_a_frame() {
    let line = fact(format!(r#"{{"command_line":{{"pid":1,"line":"{}"}}}}"#, "x".repeat(1 << 19)));
    hold(&[line], 1, |number| vec![record(&owned(came(number), number, |owner, number| owner.tid = number))]);
}

#[test]
fn ever_other_functions_users_namespaces_and_processes() {
    hold(&[], 1, |number| {
        let mut rst = owned(came(number), number, |owner, number| (owner.pid, owner.uid) = (number, number));
        rst.header.netns = number as u32 + 1;
        (rst.frames, rst.stack[0]) = (1, number as u64);
        vec![
            symbol(number as u64, "tcp_reset"),
            fact(format!(r#"{{"user":{{"uid":{number},"name":"u{number}"}}}}"#)),
            fact(format!(r#"{{"netns":{{"inode":{},"name":"n{number}"}}}}"#, number + 1)),
            fact(format!(r#"{{"command_line":{{"pid":{number},"line":"c{number}"}}}}"#)),
            record(&rst),
        ]
    });
}
