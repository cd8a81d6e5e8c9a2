//! How a run ends, by whatever ends it: with its summary, and with a recording that can be read.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{SigHandler, Signal, kill, signal},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};
use serde_json::Value;
use tempfile::TempDir;
use tracer::testbed::host::Host;

use crate::report::{connection, objects, of_kind, tracer};

/// A second, and what a machine that is busy with other tests takes.
const SOON: Duration = Duration::from_secs(5);
/// Longest wait for something that happens.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections whose events are more than a pipe and the tracer's own memory of what is still to be written hold.
const MANY: usize = 400;

/// A trace of a namespace of its own that reports as JSON and records.
struct Run {
    host: Host,
    child: Child,
    /// None once nobody reads it any more.
    output: Option<BufReader<ChildStdout>>,
    directory: TempDir,
}

impl Run {
    fn start() -> Self {
        Self::of(with_signals(tracer(), SigHandler::SigDfl))
    }

    fn of(mut command: Command) -> Self {
        let host = Host::new("ending").unwrap();
        let directory = tempfile::tempdir().unwrap();
        command.args(["trace", "-j", "-e", "state,rst,open,close", "--netns", &host.netns().to_string(), "-w"]);
        command.arg(directory.path().join("recording"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut run = Self { host, child, output: Some(output), directory };
        let mut first = String::new();
        run.output().read_line(&mut first).unwrap();
        assert!(first.contains(r#""event":"start""#), "{first}");
        run
    }

    fn output(&mut self) -> &mut BufReader<ChildStdout> {
        self.output.as_mut().expect("it is read")
    }

    /// Makes connections and closes them; the end of the last one that did it first.
    fn connect(&self, count: usize) -> String {
        let connect = move || {
            let closed = || {
                let (client, server) = connection();
                let local = client.local_addr().unwrap().to_string();
                drop(client);
                drop(server);
                local
            };
            (1..count).for_each(|_| drop(closed()));
            Ok(closed())
        };
        self.host.run(connect).unwrap()
    }

    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Reads until an event of that kind and end.
    fn read_to(&mut self, kind: &str, local: &str) {
        let is_it = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["event"] == kind && event["local"] == local
        };
        let found = self.output().by_ref().lines().map(Result::unwrap).any(|line| is_it(&line));
        assert!(found, "it ended without it");
    }

    fn rest(&mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        self.output().read_to_end(&mut rest).unwrap();
        objects(&rest)
    }

    fn replay(&self) -> Output {
        tracer().args(["replay", "-j"]).arg(self.directory.path().join("recording")).output().unwrap()
    }

    /// How it ends, if that is soon.
    fn wait_soon(&mut self) -> ExitStatus {
        wait_soon(&mut self.child)
    }

    fn said(&mut self) -> String {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // After a failed assertion; else it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_soon(child: &mut Child) -> ExitStatus {
    until("it ends", SOON, || child.try_wait().unwrap())
}

/// Looks for something until it is there.
fn until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in {patience:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Signals have this effect on it: who runs the tests in the background may have them ignored.
fn with_signals(mut command: Command, effect: SigHandler) -> Command {
    // SAFETY: system calls that touch no memory of the parent's.
    unsafe {
        command.pre_exec(move || {
            for one in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
                signal(one, effect)?;
            }
            Ok(())
        });
    }
    command
}

#[test]
#[ignore = "needs root"]
fn each_signal_ends_it_with_the_summary() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        let mut run = Run::start();
        let local = run.connect(1);
        run.read_to("close", &local);
        run.send(signal);
        assert_eq!(run.rest().last().unwrap()["event"], "summary", "{signal}");
        assert!(run.wait_soon().success(), "{signal}");
        let replayed = run.replay();
        assert!(replayed.status.success() && replayed.stderr.is_empty(), "{signal}: {replayed:?}");
        assert!(objects(&replayed.stdout).iter().any(|event| event["local"] == local), "{signal}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_hang_up_that_is_to_be_ignored_is() {
    // As nohup(1) does.
    let mut run = Run::of(with_signals(tracer(), SigHandler::SigIgn));
    run.send(Signal::SIGHUP);
    let local = run.connect(1);
    run.read_to("close", &local);
    run.send(Signal::SIGTERM);
    assert_eq!(run.rest().last().unwrap()["event"], "summary");
}

#[test]
#[ignore = "needs root"]
fn what_was_recorded_is_there_though_it_is_killed() {
    let mut run = Run::start();
    let local = run.connect(1);
    // It is there while the trace runs, though nothing else happens.
    let has_it = |replayed: &Output| {
        objects(&replayed.stdout).iter().any(|event| event["local"] == local && event["event"] == "close")
    };
    until("the recording has the connection", PATIENCE, || Some(run.replay()).filter(has_it));
    run.send(Signal::SIGKILL);
    assert_eq!(run.child.wait().unwrap().signal(), Some(9));
    let replayed = run.replay();
    assert!(has_it(&replayed));
    let said = String::from_utf8(replayed.stderr.clone()).unwrap();
    assert_eq!(replayed.status.code(), Some(1));
    assert!(said.contains("cut off at byte") && said.contains("killed") && said.lines().count() == 1, "{said}");
}

#[test]
#[ignore = "needs root"]
fn nobody_who_does_not_read_keeps_it_from_ending() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let mut run = Run::start();
        let last = run.connect(MANY);
        let told = Instant::now();
        run.send(signal);
        assert_eq!(run.wait_soon().code(), Some(1));
        println!("{signal}: it ended after {:?}", told.elapsed());
        let said = run.said();
        assert!(said.contains("nobody reads the output") && said.lines().count() == 1, "{said}");
        // Not so the recording, unless the ring buffer was too small for what nobody took.
        let replayed = run.replay();
        assert!(replayed.status.success(), "{replayed:?}");
        let all = objects(&replayed.stdout);
        let lost = all.last().unwrap()["lost"]["ring_buffer"].as_object().unwrap().values().any(|lost| *lost != 0);
        assert!(lost || of_kind(&all, "close").iter().any(|event| event["local"] == last.as_str()));
    }
}

#[test]
#[ignore = "needs root"]
fn who_reads_late_reads_it_all() {
    let mut run = Run::start();
    let last = run.connect(MANY);
    // As in a pager: it is stopped, and then read on.
    run.send(Signal::SIGINT);
    let rest = run.rest();
    let summary = rest.last().unwrap();
    assert_eq!(summary["event"], "summary");
    let lost = summary["lost"]["ring_buffer"].as_object().unwrap().values().any(|lost| *lost != 0);
    assert!(lost || of_kind(&rest, "close").iter().any(|event| event["local"] == last.as_str()));
    assert!(run.wait_soon().success());
}

#[test]
#[ignore = "needs root"]
fn a_reader_that_goes_leaves_a_whole_recording() {
    let mut run = Run::start();
    run.output = None;
    let local = run.connect(1);
    assert!(run.wait_soon().success(), "{}", run.said());
    let replayed = run.replay();
    assert!(replayed.status.success(), "{replayed:?}");
    assert!(objects(&replayed.stdout).iter().any(|event| event["local"] == local.as_str()));
}

#[test]
#[ignore = "needs root"]
fn a_pipe_that_nobody_opens_keeps_nobody_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    for option in ["-o", "-w"] {
        let mut child = tracer().args(["trace", option]).arg(&pipe).stdout(Stdio::null()).spawn().unwrap();
        until("it listens to signals", PATIENCE, || blocks(child.id(), Signal::SIGTERM).then_some(()));
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
        assert!(wait_soon(&mut child).success(), "{option}");
    }
}

/// Whether a process keeps a signal for itself to read.
fn blocks(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal as i32 - 1) & 1 == 1
}

#[test]
#[ignore = "needs root"]
fn its_time_begins_when_all_is_attached() {
    let output = tracer().args(["trace", "-j", "-d", "0.5", "-e", "close"]).output().unwrap();
    let all = objects(&output.stdout);
    let seconds = all.last().unwrap()["seconds"].as_f64().unwrap();
    assert!(seconds >= 0.5, "{seconds}");
}

#[test]
#[ignore = "needs root"]
fn a_command_is_told_of_a_signal_that_only_we_got() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report");
    for signal in ["INT", "HUP", "QUIT"] {
        let script = format!("trap 'kill -9 $!; echo told; exit 3' {signal}; sleep 1000 & echo up; wait");
        let mut command = with_signals(tracer(), SigHandler::SigDfl);
        command.args(["trace", "-j", "--force", "-o", file.to_str().unwrap(), "--", "sh", "-c", &script]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        kill(Pid::from_raw(child.id() as i32), format!("SIG{signal}").parse::<Signal>().unwrap()).unwrap();
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "told\n", "{signal}");
        assert_eq!(child.wait().unwrap().code(), Some(3), "{signal}");
        let mut report = String::new();
        File::open(&file).unwrap().read_to_string(&mut report).unwrap();
        assert_eq!(objects(report.as_bytes()).last().unwrap()["event"], "summary", "{signal}");
    }
}
