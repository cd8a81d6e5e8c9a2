//! libbpf-tools' `tcpstates`, another tool for the same tracepoint.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read as _},
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

/// Connections to these places are refused.
const READY: &str = "127.66.66.66:9";
const MARK: &str = "127.66.66.66:10";
/// Between attempts at them.
const PAUSE: Duration = Duration::from_millis(10);

/// A line of it: a state change.
pub(crate) struct Line {
    pub(crate) socket: u64,
    pub(crate) pid: u32,
    pub(crate) comm: String,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) old: String,
    pub(crate) new: String,
}

/// What it had to say.
pub(crate) struct Testimony {
    pub(crate) lines: Vec<Line>,
    /// It says that it has lost some; who reads too slowly does.
    pub(crate) is_incomplete: bool,
}

/// The tool, attached.
pub(crate) struct Witness {
    child: Child,
    /// Reads until the mark.
    reader: JoinHandle<Vec<Line>>,
    complaints: JoinHandle<String>,
}

impl Witness {
    /// Starts it and waits until it reports; says so if it is not installed.
    pub(crate) fn start() -> Option<Self> {
        if Command::new("tcpstates").arg("--version").output().is_err() {
            println!("skipped: there is no tcpstates (apt install libbpf-tools)");
            return None;
        }
        // It writes to a pipe by the block unless told otherwise.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "tcpstates"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        if !Path::new("/sys/kernel/tracing/events").exists() {
            // SAFETY: system calls only, and what they change is the child's own.
            unsafe { command.pre_exec(mount_tracefs) };
        }
        let mut child = command.spawn().expect("tcpstates starts");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let complaints = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).expect("it is readable");
            text
        });
        // A process's name, which is in the lines, may be anything.
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped")).split(b'\n');
        let mut next =
            move || stdout.next().map(|line| parse(&String::from_utf8_lossy(&line.expect("it is readable"))));
        let (ready, is_ready) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut lines: Vec<Line> = Vec::new();
            // The header is none, and the first that is means that the tool is attached.
            while lines.last().is_none_or(|line| line.remote.to_string() != MARK) {
                let Some(line) = next() else { break };
                if lines.is_empty() && line.is_some() {
                    let _ = ready.send(());
                }
                lines.extend(line);
            }
            lines
        });
        // Its header comes before it reads anything, so connections are attempted until it reports one.
        while is_ready.recv_timeout(PAUSE).is_err() {
            attempt(READY);
            assert!(!reader.is_finished(), "tcpstates ended: {:?}", complaints.join());
        }
        Some(Self { child, reader, complaints })
    }

    /// What it reported up to a mark, which a call of [`mark`] in the right place makes.
    pub(crate) fn finish(mut self, mark: impl Fn()) -> Testimony {
        // It may lose this, too.
        while !self.reader.is_finished() {
            mark();
            thread::sleep(PAUSE);
        }
        let lines = self.reader.join().expect("it reads");
        let _ = self.child.kill();
        let _ = self.child.wait();
        let complaints = self.complaints.join().expect("it reads");
        Testimony { lines, is_incomplete: complaints.contains("lost") }
    }
}

/// Ends the testimony.
pub(crate) fn mark() {
    attempt(MARK);
}

fn attempt(address: &str) {
    let refused = TcpStream::connect(address).expect_err("nobody listens there");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// `SKADDR PID COMM LADDR LPORT RADDR RPORT OLDSTATE -> NEWSTATE MS`, where COMM may be several words.
fn parse(line: &str) -> Option<Line> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [socket, pid, comm @ .., local, local_port, remote, remote_port, old, "->", new, _ms] = &words[..] else {
        return None;
    };
    let end = |address: &str, port: &str| {
        Some(SocketAddr::new(address.parse::<IpAddr>().ok()?.to_canonical(), port.parse().ok()?))
    };
    Some(Line {
        socket: u64::from_str_radix(socket, 16).ok()?,
        pid: pid.parse().ok()?,
        comm: comm.join(" "),
        local: end(local, local_port)?,
        remote: end(remote, remote_port)?,
        old: (*old).to_owned(),
        new: (*new).to_owned(),
    })
}

/// libbpf finds tracepoints by tracefs; where nobody has mounted it, it is for this process only.
fn mount_tracefs() -> std::io::Result<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("tracefs"), "/sys/kernel/tracing", Some("tracefs"), MsFlags::empty(), none)?;
    Ok(())
}
