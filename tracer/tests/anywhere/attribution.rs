//! Whose the connections of a busy machine are: softirqs take whatever task they find.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::Stdio,
    thread::{self, JoinHandle},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Deserialize;
use tracer::testbed::host::Host;

use crate::{
    alone,
    peer::Peer,
    report::tracer,
    witness::{Line, Witness, mark},
};

const CONNECTIONS: u64 = 10_000;
/// Of each: three changes and that it opened, before it ends.
const LEAST: u64 = CONNECTIONS * 2 * 4;
/// Nobody else has it: the other tool does not tell namespaces apart.
const ADDRESS: &str = "127.115.77.1:7777";

/// Of what was reported on this test's connections.
#[derive(Debug, Default)]
struct Tally {
    events: u64,
    softirq: u64,
    /// The CPU was running somebody else than the owner.
    bystanders: u64,
    /// Events attributed to another process than the socket's, by its name.
    wrong: BTreeMap<String, u64>,
    /// Events that the programs were not run for, because they were just running on that processor.
    missed: u64,
}

#[test]
#[ignore = "needs root"]
fn on_a_busy_machine_each_end_belongs_to_its_process() {
    let _alone = alone();
    let host = Host::new("busy").unwrap();
    host.run(|| {
        if let Err(error) = scatter_segments() {
            println!("loopback's segments stay on the processor that sent them: {error}");
        }
        Ok(())
    })
    .unwrap();
    let start = |name| host.run(move || Ok(Peer::start(name))).unwrap();
    let [mut server, mut client, mut busy] = ["server", "client", "busy"].map(start);
    let pids = [server.pid(), client.pid()];
    let listener: SocketAddr = server.ask(&format!("listen {ADDRESS}")).parse().unwrap();

    let witness = Witness::start();
    let trace = Trace::start(host.netns(), pids);
    busy.ask("spin 2");
    server.tell(&format!("serve {CONNECTIONS}"));
    client.ask(&format!("burst {CONNECTIONS} {listener}"));
    server.answer();
    drop(busy);

    let tally = trace.stop();
    println!("tracer: {tally:?}");
    if let Some(witness) = witness {
        compare(&witness.finish(mark).lines, listener, pids);
    }
    assert!(tally.events >= LEAST, "{tally:?}");
    assert!(tally.bystanders > 0, "this was no test: {tally:?}");
    let Tally { mut wrong, missed, .. } = tally;
    // Where the kernel did not run the program at a socket's first event, that is said, and nobody is named.
    let nobody = wrong.remove("nobody").unwrap_or(0);
    assert!(nobody <= missed, "{nobody} events without an owner, {missed} skipped runs");
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Lets each processor handle what another has sent (Documentation/networking/scaling.rst), so that softirqs
/// interrupt bystanders.
fn scatter_segments() -> anyhow::Result<()> {
    let none: Option<&str> = None;
    // sysfs shows the network of who mounted it.
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none)?;
    Ok(std::fs::write("/sys/class/net/lo/queues/rx-0/rps_cpus", "3")?)
}

/// Whose an end is, by its port.
fn owner_of(local: SocketAddr, listener: SocketAddr, [server, client]: [u32; 2]) -> u32 {
    if local.port() == listener.port() { server } else { client }
}

/// What counts of an event.
#[derive(Deserialize)]
struct Event {
    local: SocketAddr,
    remote: SocketAddr,
    context: String,
    task: Process,
    owner: Option<Process>,
}

#[derive(Deserialize)]
struct Process {
    pid: u32,
    comm: String,
}

/// A trace that is counted while it runs: so many events are not kept.
struct Trace {
    pid: Pid,
    reader: JoinHandle<Tally>,
}

impl Trace {
    fn start(netns: u32, pids: [u32; 2]) -> Self {
        let mut child = tracer()
            // Room for all of it.
            .args(["--ring-size", "65536", "trace", "-j", "-e", "state,open,rst", "--netns", &netns.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tracer starts");
        let pid = Pid::from_raw(child.id() as i32);
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines().map(Result::unwrap);
        assert!(lines.next().is_some_and(|line| line.contains("\"start\"")));
        let reader = thread::spawn(move || {
            let mut tally = Tally::default();
            // What happened on the same ends before tells why one of them is wrong.
            let mut stories = BTreeMap::<_, Vec<String>>::new();
            for line in lines {
                match serde_json::from_str::<Event>(&line) {
                    Ok(event) => {
                        let is_right = tally.add(&event, pids);
                        let client = [event.local, event.remote].map(|end| end.port()).into_iter().max();
                        let story = stories.entry(client).or_default();
                        story.push(line);
                        if !is_right {
                            println!("not the socket's owner in the last of:\n{}", story.join("\n"));
                        }
                    }
                    // The summary is all else that there is.
                    Err(_) => check_summary(&line),
                }
            }
            assert!(child.wait().expect("the tracer ends").success());
            tally
        });
        Self { pid, reader }
    }

    fn stop(self) -> Tally {
        let missed = missed(self.pid);
        kill(self.pid, Signal::SIGINT).expect("the tracer runs");
        Tally { missed, ..self.reader.join().expect("it counts") }
    }
}

/// What the kernel says of the tracer's programs (`bpf_prog_show_fdinfo`).
fn missed(pid: Pid) -> u64 {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("the tracer runs");
    let texts = descriptors.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default());
    let count =
        |text: String| text.lines().find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse::<u64>().ok());
    texts.filter_map(count).sum()
}

impl Tally {
    /// Whether the event is attributed to the process whose socket it is.
    fn add(&mut self, event: &Event, pids: [u32; 2]) -> bool {
        let expected = owner_of(event.local, ADDRESS.parse().unwrap(), pids);
        self.events += 1;
        self.softirq += u64::from(event.context == "softirq");
        self.bystanders += u64::from(event.task.pid != expected);
        match &event.owner {
            Some(owner) if owner.pid == expected => return true,
            Some(owner) => *self.wrong.entry(owner.comm.clone()).or_default() += 1,
            None => *self.wrong.entry("nobody".to_owned()).or_default() += 1,
        }
        false
    }
}

fn check_summary(line: &str) {
    let summary: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let lost = summary["lost"]["ring_buffer"].as_object().expect("losses by kind");
    assert!(lost.values().all(|count| *count == 0), "{summary:#}");
}

/// What another tool makes of the same connections, read while they are made.
fn compare(lines: &[Line], listener: SocketAddr, pids: [u32; 2]) {
    let about: Vec<_> = lines.iter().filter(|line| line.local == listener || line.remote == listener).collect();
    let mut wrong = BTreeMap::<_, u64>::new();
    for line in about.iter().filter(|line| line.pid != owner_of(line.local, listener, pids)) {
        *wrong.entry(&line.comm).or_default() += 1;
    }
    let count: u64 = wrong.values().sum();
    assert!(!about.is_empty(), "it has seen nothing");
    println!("tcpstates: {count} of {} lines name another process than the socket's: {wrong:?}", about.len());
}
