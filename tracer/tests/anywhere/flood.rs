//! A hundred thousand RSTs of fifty thousand pairs of ends: memory stays bounded, and nothing is lost silently.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Stdio},
};

use anyhow::ensure;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tracer::testbed::host::Host;

use crate::{alone, report::tracer};

/// Each is refused: a RST that is sent, and the same when it comes.
const CONNECTS: u32 = 50_000;
const CLOSED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
/// Client addresses, in 127.1.0.0/16, each with its ports.
const ADDRESSES: u32 = 250;

/// What the tracer may have in memory at most, besides its ring buffer. Symbols of the kernel (some 10 MB), 10,000 rows
/// of the table and 8,192 verdicts are the most of it.
const MEMORY_KIB: u64 = 80 << 10;

#[test]
#[ignore = "needs root"]
fn a_flood_of_rsts_takes_bounded_memory_and_is_accounted_for() {
    let _alone = alone();
    let host = Host::new("flood").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rsts");
    let mut tracer = Killed(
        tracer()
            .args(["rst", "-j", "--ring-size", "4096", "--netns", &host.netns().to_string(), "-o"])
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    while first_line(&file).is_none() {
        assert!(tracer.0.try_wait().unwrap().is_none(), "the tracer runs");
        std::thread::yield_now();
    }
    host.run(|| (0..CONNECTS).try_for_each(refused)).unwrap();
    let peak = peak_kib(tracer.0.id()) - (4 << 10);
    kill(Pid::from_raw(tracer.0.id() as i32), Signal::SIGINT).unwrap();
    assert!(tracer.0.wait().unwrap().success());

    let (mut rsts, mut last) = (0, Value::Null);
    for line in BufReader::new(fs::File::open(&file).unwrap()).lines() {
        let line = line.unwrap();
        if line.starts_with("{\"event\":\"rst\"") {
            rsts += 1;
        } else {
            last = serde_json::from_str(&line).unwrap();
        }
    }
    let lost = last["lost"]["ring_buffer"]["rst"].as_u64().unwrap();
    println!("{rsts} RSTs reported, {lost} lost, {peak} KiB at most besides the ring buffer");
    assert_eq!(last["counts"]["rst"], rsts);
    assert_eq!(rsts + lost, 2 * u64::from(CONNECTS), "each is reported or counted as lost");
    let rows: u64 = last["causes"].as_array().unwrap().iter().map(|row| row["count"].as_u64().unwrap()).sum();
    assert_eq!(rows, rsts, "the table has all that were reported");
    assert!(peak < MEMORY_KIB, "{peak} KiB");
}

/// A connect from ends that no other has.
fn refused(number: u32) -> anyhow::Result<()> {
    let [address, port] = [number % ADDRESSES, number / ADDRESSES];
    let from = Ipv4Addr::new(127, 1, (address >> 8) as u8, address as u8);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 10_000 + port as u16)).into())?;
    let error = socket.connect(&CLOSED.into()).err().and_then(|error| error.raw_os_error());
    ensure!(error == Some(libc::ECONNREFUSED), "{number}: {error:?}");
    Ok(())
}

fn first_line(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.contains('\n').then_some(text)
}

/// Peak resident size.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Does not outlive a test that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
