//! Tasks that are preempted in the midst of a program, by another one whose events are to be reported all the same: since
//! Linux 7.0 the kernel does not start the same program for that.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use tracer::testbed::host::Host;

use crate::report::Trace;

/// Tasks whose programs are interrupted.
const PREEMPTED: usize = 3;
/// Their connects go to a port, and those of the one that preempts them to another.
const PORT: u16 = 7;
const URGENT_PORT: u16 = 9;
/// How many those are.
const URGENT: usize = 500;
/// The task that makes them: events of the others are not reported, though a program finds that out at its end only.
const URGENT_NAME: &str = "urgent";

/// All that are to meet have to be on one processor.
fn stay_on_one_cpu() {
    let mut first = CpuSet::new();
    first.set(0).unwrap();
    sched_setaffinity(Pid::from_raw(0), &first).unwrap();
}

/// The current task runs as soon as it can, whatever runs.
fn be_urgent() {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: `priority` lives long enough.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    assert_eq!(result, 0, "root may: {}", std::io::Error::last_os_error());
}

fn be_refused(port: u16) {
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect_err("nobody listens");
}

fn run_named(task: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name(URGENT_NAME.to_owned()).spawn(task).expect("threads start");
    thread.join().expect("it connects");
}

#[test]
#[ignore = "needs root"]
fn what_preempts_a_program_is_reported_or_counted() {
    let host = Host::new("preempted").unwrap();
    let mut trace = Trace::of("trace", &["-e", "state", "--netns", &host.netns().to_string(), "--comm", URGENT_NAME]);
    let goes_on = Arc::new(AtomicBool::new(true));
    for _ in 0..PREEMPTED {
        let goes_on = Arc::clone(&goes_on);
        host.run(move || {
            std::thread::spawn(move || {
                stay_on_one_cpu();
                while goes_on.load(Ordering::Relaxed) {
                    be_refused(PORT);
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            Ok(())
        })
        .unwrap();
    }
    host.run(|| {
        let connect = || {
            stay_on_one_cpu();
            be_urgent();
            for _ in 0..URGENT {
                be_refused(URGENT_PORT);
                std::thread::sleep(Duration::from_micros(700));
            }
        };
        run_named(connect);
        Ok(())
    })
    .unwrap();
    goes_on.store(false, Ordering::Relaxed);
    // Its end.
    host.run(|| {
        run_named(|| be_refused(URGENT_PORT + 1));
        Ok(())
    })
    .unwrap();
    let is_last = |event: &serde_json::Value| {
        event["remote"] == format!("127.0.0.1:{}", URGENT_PORT + 1) && event["new"] == "CLOSE"
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    assert!(trace.read_until(deadline, |events| events.iter().any(is_last)), "the last one is reported");
    let events = trace.stop();
    let urgent = format!("127.0.0.1:{URGENT_PORT}");
    let reported = events.iter().filter(|event| event["event"] == "state" && event["remote"] == urgent).count();
    let lost = &events.last().expect("a summary")["lost"];
    let counted = [&lost["skipped"], &lost["ring_buffer"]["state"]].map(|count| count.as_u64().expect("a number"));
    // To SYN_SENT, and to CLOSE: of whose socket the first was not seen, nobody knows the owner of the second.
    let missing = 2 * URGENT as u64 - reported as u64;
    println!("{missing} are missing, and {counted:?} are counted");
    assert!(missing <= 2 * counted.iter().sum::<u64>(), "{missing} are missing, and {counted:?} are counted");
}
