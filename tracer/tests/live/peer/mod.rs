//! A process of its own that does with TCP what a test says: this test binary, started again.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::process::CommandExt as _,
    },
    process::{Child, ChildStderr, ChildStdin, Command, Stdio},
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

mod acts;

/// Set, to the peer's name, where this binary is to act as one.
const NAME: &str = "TRACER_TEST_PEER";
/// What an answer begins with; anything else is a complaint.
const ANSWER: &str = "done ";

/// The process; it ends when this is dropped, and with the test, whatever ends that.
pub(crate) struct Peer {
    name: &'static str,
    child: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStderr>>,
}

impl Peer {
    /// Starts one in the calling thread's namespaces; `name` becomes the name of its threads and its `argv[0]`.
    pub(crate) fn start(name: &'static str) -> Self {
        Self::spawn(name, &mut command(name))
    }

    /// Starts one that has a copy of the descriptor, under the same number.
    pub(crate) fn inheriting(name: &'static str, socket: &impl AsFd) -> Self {
        let number = socket.as_fd().as_raw_fd();
        let mut command = command(name);
        let inherit = move || {
            // SAFETY: a copy of an open descriptor of the parent, which waits until this has run.
            let socket = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
            fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty()))?;
            Ok(())
        };
        // SAFETY: one system call, and it is the child's own table of descriptors that it changes.
        unsafe { command.pre_exec(inherit) };
        Self::spawn(name, &mut command)
    }

    fn spawn(name: &'static str, command: &mut Command) -> Self {
        let mut child = command.spawn().expect("this binary starts again");
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        Self { name, child, orders, answers }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives an order (see [`acts`]) and waits for its result.
    pub(crate) fn ask(&mut self, order: &str) -> String {
        self.tell(order);
        self.answer()
    }

    /// Gives an order; [`Peer::answer`] waits for its result.
    pub(crate) fn tell(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("it is open until the peer is dropped");
        writeln!(orders, "{order}").expect("the peer listens");
    }

    /// Ends it at once (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
    }

    /// The result of the oldest order that has none yet.
    pub(crate) fn answer(&mut self) -> String {
        let line = self.answers.next().expect("the peer answers").expect("its answer is readable");
        let Some(answer) = line.strip_prefix(ANSWER) else {
            let rest: Vec<String> = self.answers.by_ref().map_while(Result::ok).collect();
            panic!("the peer {} failed: {line}\n{}", self.name, rest.join("\n"));
        };
        answer.to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its orders is the peer's end, unless it is busy.
        self.orders = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(name: &'static str) -> Command {
    // The path of a test begins behind the crate's name.
    let (_, module) = module_path!().split_once("::").expect("this is a module");
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command
        .arg0(name)
        .args([&format!("{module}::a_peer_does_what_it_is_told"), "--exact", "--include-ignored", "--nocapture"])
        .env(NAME, name)
        .stdin(Stdio::piped())
        // The test harness talks there.
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Also what a peer runs.
#[test]
#[ignore = "needs root"]
fn a_peer_does_what_it_is_told() {
    if let Ok(name) = std::env::var(NAME) {
        acts::obey(&name);
    }
    let (mut server, mut client) = (Peer::start("server"), Peer::start("client"));
    let listener = server.ask("listen 127.0.0.1:0");
    let end = client.ask(&format!("connect {listener}"));
    assert_eq!(server.ask("accept"), end);
    assert_ne!(server.pid(), client.pid());
}
