//! Running the tracer as its user would, and reading what it reports.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{self, BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    ops::{Deref, DerefMut},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use nix::sys::{
    prctl,
    signal::Signal,
    socket::{setsockopt, sockopt},
};
use serde_json::Value;
use tempfile::NamedTempFile;

#[path = "schema.rs"]
mod schema;

/// How long an event may take: an emulated machine is slow, and others may use it.
const PATIENCE: Duration = Duration::from_secs(180);

/// The binary under test.
pub(crate) fn tracer() -> Command {
    let binary = std::env::var_os("TRACER_BIN").map_or_else(|| env!("CARGO_BIN_EXE_tracer").into(), PathBuf::from);
    Command::new(binary)
}

/// Runs the tracer to its end, and insists on its success.
pub(crate) fn run(args: &[&str]) -> Output {
    let output = tracer().args(args).output().expect("the tracer starts");
    assert!(
        output.status.success(),
        "tracer {args:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The objects of newline-delimited JSON.
pub(crate) fn objects(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).expect("JSON is UTF-8");
    text.lines().map(|line| schema::object(line, tracer)).collect()
}

/// The objects of one kind.
pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["event"] == kind).collect()
}

/// Whether a start line names a mechanism for an event.
pub(crate) fn is_observed(start: &Value, probe: &str) -> bool {
    let mechanism = &start["probes"][probe];
    if mechanism.is_null() {
        println!("not tested here: this kernel does not let us observe \"{probe}\"");
    }
    !mechanism.is_null()
}

/// A `tracer trace -j` or `tracer rst -j` that is attached and reports.
pub(crate) struct Trace {
    child: Child,
    /// From a thread that reads them, for waits that end.
    lines: Receiver<String>,
    /// Whether somebody waits for them; what the thread reads else is gone.
    is_wanted: Arc<AtomicBool>,
    /// The first: how each event is observed.
    pub(crate) start: Value,
    /// Objects read so far.
    pub(crate) seen: Vec<Value>,
    /// Inodes of the only namespaces whose events are kept, if that matters.
    only: Option<HashSet<u64>>,
    /// How many others there were, by kind.
    others: HashMap<String, usize>,
}

impl Trace {
    /// Starts it and waits until it says that it is attached.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::of("trace", args)
    }

    /// Starts another command that traces.
    pub(crate) fn of(command: &str, args: &[&str]) -> Self {
        let mut tracer = tracer();
        tracer.args([command, "-j"]).args(args).stdout(Stdio::piped());
        if !args.contains(&"--ring-size") {
            // A small machine that runs other tests, too, does not read in time what a thousand connections report.
            tracer.args(["--ring-size", "16384"]);
        }
        // SAFETY: between fork and exec it makes one system call and allocates nothing.
        unsafe {
            tracer.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGINT)?));
        }
        let (started, child) = mpsc::channel();
        let (sender, lines) = mpsc::channel();
        let is_wanted = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&is_wanted);
        // It ends with the thread that starts it: with this one, which lives as long as the tests do.
        std::thread::spawn(move || {
            let mut child = tracer.spawn().expect("the tracer starts");
            let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
            let _ = started.send(child);
            // Nobody takes them any more only after a failed assertion.
            let mut lines = stdout.lines().map_while(Result::ok).filter(|_| asked.load(Ordering::Relaxed));
            lines.all(|line| sender.send(line).is_ok())
        });
        let child = child.recv().expect("the tracer starts");
        let (start, seen, others) = (Value::Null, Vec::new(), HashMap::new());
        let mut trace = Self { child, lines, is_wanted, start, seen, only: None, others };
        trace.start = trace.next().expect("a first line");
        assert_eq!(trace.start["event"], "start");
        trace
    }

    /// One of the whole machine, for a test that waits for events of its own: its start would take most of the
    /// test's time. It is one test's at a time.
    pub(crate) fn shared() -> Shared {
        static SHARED: LazyLock<Mutex<Trace>> =
            LazyLock::new(|| Mutex::new(Trace::start(&["-e", "state,rst,open,raw"])));
        let mut trace = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        while trace.lines.try_recv().is_ok() {}
        trace.seen.clear();
        trace.is_wanted.store(true, Ordering::Relaxed);
        Shared(trace)
    }

    /// All that has happened so far, of which nothing is still to come: events are reported in order.
    pub(crate) fn so_far(&mut self) -> &[Value] {
        let (last, _) = abort();
        self.wait("the last RST", |event| event["event"] == "rst" && event["local"] == last.to_string());
        &self.seen
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first object, past or to come, that `wanted` accepts.
    pub(crate) fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(found) = self.seen.iter().find(|object| wanted(object)) {
            return found.clone();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let object = self.take(&line);
                    if wanted(&object) {
                        return object;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => panic!("the trace ended without {what}; {}", self.had()),
                Err(RecvTimeoutError::Timeout) => panic!("{what} did not come; {}", self.had()),
            }
        }
    }

    /// What it has reported last.
    fn had(&self) -> String {
        const SHOWN: usize = 50;
        let last: Vec<_> = self.seen.iter().rev().take(SHOWN).rev().map(Value::to_string).collect();
        format!("it had {} objects, the last of which are:\n{}", self.seen.len(), last.join("\n"))
    }

    /// Reads until `enough` accepts what was seen; false if it does not by the deadline, or at the end.
    pub(crate) fn read_until(&mut self, deadline: Instant, enough: impl Fn(&[Value]) -> bool) -> bool {
        loop {
            if enough(&self.seen) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else { return false };
            self.take(&line);
        }
    }

    /// Asks it to end, as Ctrl-C does, and returns all that it reported, which the last line counts.
    pub(crate) fn stop(mut self) -> Vec<Value> {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, Signal::SIGINT).expect("the tracer runs");
        while self.next().is_some() {}
        let status = self.child.wait().expect("the tracer ends");
        assert!(status.success(), "{status}");
        let seen = std::mem::take(&mut self.seen);
        let summary = seen.last().expect("a summary");
        for (kind, count) in summary["counts"].as_object().expect("counts by kind") {
            let others = self.others.get(kind).copied().unwrap_or(0);
            assert_eq!(*count, of_kind(&seen, kind).len() + others, "{kind}: {summary:#}");
        }
        assert_adds_up(summary);
        let is_over = |state: &Value| state["new"] == "CLOSE" && state["old"] != "LISTEN";
        assert_comes_with(&seen, |state| state["new"] == "ESTABLISHED", "open");
        assert_comes_with(&seen, is_over, "close");
        seen
    }

    fn next(&mut self) -> Option<Value> {
        let line = self.lines.recv().ok()?;
        Some(self.take(&line))
    }

    /// From now on keeps the events of these namespaces only, and counts the others: a busy neighbour makes many.
    pub(crate) fn keep_only(&mut self, netns: impl Iterator<Item = u32>) {
        self.only = Some(netns.map(u64::from).collect());
    }

    fn take(&mut self, line: &str) -> Value {
        if let Some(only) = &self.only {
            let object: Value = serde_json::from_str(line).expect("each line is JSON");
            if object["netns"].as_u64().is_some_and(|inode| !only.contains(&inode)) {
                *self.others.entry(object["event"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
                return object;
            }
        }
        let object = schema::object(line, tracer);
        self.seen.push(object.clone());
        object
    }
}

/// The trace that tests share, one after the other. What happens while none has it, and that may be for minutes in a
/// flood, is not kept: it once took all of a small machine's memory.
pub(crate) struct Shared(MutexGuard<'static, Trace>);

impl Drop for Shared {
    fn drop(&mut self) {
        self.0.is_wanted.store(false, Ordering::Relaxed);
    }
}

impl Deref for Shared {
    type Target = Trace;

    fn deref(&self) -> &Trace {
        &self.0
    }
}

impl DerefMut for Shared {
    fn deref_mut(&mut self) -> &mut Trace {
        &mut self.0
    }
}

/// Each record that the kernel submitted is shown, or the summary says what else became of it.
pub(crate) fn assert_adds_up(summary: &Value) {
    let sum = |of: &Value| of.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>();
    let others = sum(&summary["accounted"]) + summary["lost"]["decode"].as_u64().unwrap();
    assert_eq!(sum(&summary["submitted"]), sum(&summary["counts"]) + others, "{summary:#}");
}

/// Each such change comes with an event of that kind, and none without, where both are reported.
fn assert_comes_with(seen: &[Value], is_one: impl Fn(&Value) -> bool, kind: &str) {
    let key = |event: &Value| ["mono_ns", "local", "remote"].map(|name| event[name].to_string());
    let changes: Vec<_> = of_kind(seen, "state").into_iter().filter(|state| is_one(state)).map(key).collect();
    let others: Vec<_> = of_kind(seen, kind).into_iter().map(key).collect();
    if !others.is_empty() && !of_kind(seen, "state").is_empty() {
        assert_eq!(changes, others, "{kind}");
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // After a failed assertion; one that was stopped is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection through loopback, client's end and server's end.
pub(crate) fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

/// Aborts a connection (SO_LINGER with no time) and returns the ends of who did it and of its peer.
pub(crate) fn abort() -> (SocketAddr, SocketAddr) {
    let (client, mut server) = connection();
    let ends = (client.local_addr().unwrap(), server.local_addr().unwrap());
    setsockopt(&client, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
    drop(client);
    // Were the server closed before the RST is there, its FIN would be answered with another one.
    let error = server.read(&mut [0]).expect_err("the connection is reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    ends
}

/// A file with this kernel's BTF without these names: others of the same length take their places.
pub(crate) fn btf_without(names: &[&str]) -> NamedTempFile {
    let mut btf = fs::read("/sys/kernel/btf/vmlinux").unwrap();
    for name in names {
        let wanted = [b"\0", name.as_bytes(), b"\0"].concat();
        let found: Vec<usize> = memchr::memmem::find_iter(&btf, &wanted).collect();
        assert!(!found.is_empty(), "this kernel has {name}");
        for at in found {
            btf[at + 1..at + 1 + name.len()].fill(b'?');
        }
    }
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&btf).unwrap();
    file
}
