//! A long run in a world that changes all the time: what the tracer keeps stays the same, and what it counts is exact.
//!
//! Namespaces and control groups come and go, some while connections are in them; processes are born and die; the clock
//! jumps; the tracer itself is stopped for a while. `cargo xtask soak` makes an hour of it, the tests a few seconds.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        socket::{setsockopt, sockopt},
        time::TimeSpec,
    },
    time::{ClockId, clock_gettime, clock_settime},
    unistd::Pid,
};
use serde_json::Value;
use tracer::testbed::host::Host;

use crate::{
    cgroup::Group,
    child::Player,
    report::{assert_adds_up, tracer},
};

/// How long it is to last, in seconds. With it nothing else runs on this machine.
const SECONDS: &str = "TRACER_SOAK_SECONDS";
const SHORT: u64 = 10;
/// That the clock is this test's to set: it is a virtual machine's.
const MACHINE: &str = "TRACER_MACHINE";

/// An address that no other test has, nor this one in another run.
fn ours() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 83, high, low)
}

/// Each round's.
const ABORTS: u64 = 20;
const REFUSED: u64 = 10;
const EXCHANGES: usize = 20;

/// How often it is stopped, and for how long: its ring buffer fills meanwhile, but not to the end.
const STOPS_EVERY: u64 = 5;
const STOPPED: Duration = Duration::from_millis(300);

const CLOCK_STEP: i64 = 3600;
const CLOCK_EVERY: u64 = 4;

/// What the allocator may keep at one time and not at another, in KiB.
const NOISE_KIB: u64 = 4096;

/// Descriptors that are open for a moment.
const TRANSIENT: u64 = 8;

/// A tracer that runs, and what it has reported of our addresses.
struct Traced {
    child: Child,
    reader: JoinHandle<Reported>,
}

#[derive(Default)]
struct Reported {
    /// RSTs by direction.
    rsts: BTreeMap<String, u64>,
    last: Value,
}

/// What a process takes.
#[derive(Debug, Clone, Copy)]
struct Taken {
    memory_kib: u64,
    descriptors: u64,
}

impl Traced {
    /// Runs as one would run it for days: it records, in files that replace each other.
    fn start(recording: &str) -> Self {
        let mut command = tracer();
        let rotation = ["-w", recording, "--rotate-size", "2048", "--keep", "2"];
        command.args(["trace", "-j", "--ring-size", "16384", "-e", "state,rst,open,close"]).args(rotation);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.next().is_some_and(|line| line.contains(r#""event":"start""#)), "it is attached");
        let ours = format!("\"{}:", ours());
        let reader = std::thread::spawn(move || {
            let mut reported = Reported::default();
            for line in lines {
                // Few are read whole: in an hour there are millions.
                let is_rst = line.starts_with(r#"{"event":"rst""#) && line.contains(&ours);
                if !is_rst && !line.starts_with(r#"{"event":"summary""#) {
                    continue;
                }
                reported.last = serde_json::from_str(&line).unwrap();
                if is_rst {
                    let direction = reported.last["direction"].as_str().unwrap().to_owned();
                    *reported.rsts.entry(direction).or_default() += 1;
                }
            }
            reported
        });
        Self { child, reader }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Does not run for a while: what happens waits in the kernel.
    fn suspend(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
        std::thread::sleep(STOPPED);
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    fn takes(&self) -> Taken {
        let directory = format!("/proc/{}", self.child.id());
        let status = fs::read_to_string(format!("{directory}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory_kib = memory.trim().trim_end_matches(" kB").parse().unwrap();
        Taken { memory_kib, descriptors: fs::read_dir(format!("{directory}/fd")).unwrap().count() as u64 }
    }

    fn end(mut self) -> Reported {
        kill(self.pid(), Signal::SIGINT).unwrap();
        let reported = self.reader.join().unwrap();
        assert!(self.child.wait().unwrap().success());
        reported
    }
}

fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// A round's connections, in a namespace of its own. One is open still when that has nobody in it any more.
fn connections() -> (TcpStream, TcpStream) {
    let host = Host::new("soak").unwrap();
    let open = host.run(|| {
        let listener = TcpListener::bind((ours(), 0))?;
        for _ in 0..ABORTS {
            let (client, mut server) = pair(&listener);
            setsockopt(&client, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
            drop(client);
            server.read(&mut [0]).expect_err("it is reset");
        }
        let nobody: SocketAddr = TcpListener::bind((ours(), 0))?.local_addr()?;
        for _ in 0..REFUSED {
            TcpStream::connect(nobody).expect_err("nobody listens");
        }
        for _ in 0..EXCHANGES {
            let (client, mut server) = pair(&listener);
            drop(client);
            assert_eq!(server.read(&mut [0])?, 0);
        }
        Ok(pair(&listener))
    });
    open.unwrap()
}

/// A process in a control group, both of which end.
fn process_in_a_group(round: u64) {
    let group = Group::named(&format!("tracer-soak-{}-{round}", std::process::id())).unwrap();
    let mut player = Player::start("wait; abort");
    group.take_below(player.pid());
    player.end();
}

fn set_clock_forward(seconds: i64) {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).unwrap();
    let then = TimeSpec::new(now.tv_sec() + seconds, now.tv_nsec());
    clock_settime(ClockId::CLOCK_REALTIME, then).unwrap();
}

/// The most that is taken in a part of the run.
fn most(samples: &[Taken], of: impl Fn(&Taken) -> u64) -> u64 {
    samples.iter().map(of).max().expect("there are samples")
}

/// What is taken does not grow from the second third to the last one. In the first what is remembered fills.
fn assert_flat(samples: &[Taken]) {
    let third = samples.len() / 3;
    let (middle, last) = (&samples[third..2 * third], &samples[2 * third..]);
    let (before, after) = (most(middle, |taken| taken.memory_kib), most(last, |taken| taken.memory_kib));
    println!("memory: at most {before} KiB in the second third, {after} KiB in the last, {} rounds", samples.len());
    assert!(after <= before + before / 10 + NOISE_KIB, "{before} KiB became {after} KiB");
    let (before, after) = (most(middle, |taken| taken.descriptors), most(last, |taken| taken.descriptors));
    assert!(after <= before + TRANSIENT, "{before} descriptors became {after}");
}

#[test]
#[ignore = "needs root"]
fn memory_is_flat_and_counts_are_exact_while_the_world_changes() {
    let asked = std::env::var(SECONDS).ok().map(|seconds| seconds.parse().unwrap());
    let sets_clock = asked.is_some() && std::env::var_os(MACHINE).is_some();
    let directory = tempfile::tempdir().unwrap();
    let traced = Traced::start(directory.path().join("recording").to_str().unwrap());
    let end = Instant::now() + Duration::from_secs(asked.unwrap_or(SHORT));
    let mut samples = Vec::new();
    let mut rounds = 0;
    // A third is to have something in it.
    while Instant::now() < end || rounds < 6 {
        rounds += 1;
        let open = connections();
        process_in_a_group(rounds);
        drop(open);
        if rounds % STOPS_EVERY == 0 {
            traced.suspend();
        }
        if sets_clock && rounds % CLOCK_EVERY == 0 {
            let is_there = rounds / CLOCK_EVERY % 2 == 1;
            set_clock_forward(if is_there { CLOCK_STEP } else { -CLOCK_STEP });
        }
        samples.push(traced.takes());
    }
    let reported = traced.end();
    assert_flat(&samples);

    let summary = &reported.last;
    assert_adds_up(summary);
    let happened = rounds * (ABORTS + REFUSED);
    let lost = summary["lost"]["ring_buffer"]["rst"].as_u64().unwrap() + summary["lost"]["skipped"].as_u64().unwrap();
    for direction in ["sent", "received"] {
        let seen = reported.rsts.get(direction).copied().unwrap_or(0);
        println!("RSTs {direction}: {happened} happened, {seen} were reported, {lost} lost");
        assert!(seen <= happened && seen + lost >= happened, "{direction}: {summary:#}");
    }
    let files = fs::read_dir(&directory).unwrap().count();
    assert!((1..=2).contains(&files), "{files} recordings are kept");
}
