//! This test binary as another process: it starts itself again, with one test that plays a part.
//!
//! So it is where nothing else is, too, such as in a virtual machine. A part is steps with `;` between them.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
};

use nix::unistd::{Gid, Uid, setgid, setuid};

use crate::{ends, report};

const PART: &str = "TRACER_TEST_PART";
const READY: &str = "the player is ready";

/// A process that is to play the part.
pub(crate) fn player(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child::entry", "--exact", "--ignored", "--nocapture"]).env(PART, part);
    command
}

/// A process that plays a part and waits where that says `wait`.
pub(crate) struct Player {
    child: Child,
    commands: Option<ChildStdin>,
    answers: std::io::Lines<BufReader<ChildStdout>>,
}

impl Player {
    /// In the calling thread's namespaces; it is there when it has come to the first `wait`.
    pub(crate) fn start(part: &str) -> Self {
        Self::of(player(part))
    }

    /// Starts the child by a command that was changed.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut player = Self { child, commands, answers };
        player.wait_ready();
        player
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it go on, and does not wait for anything.
    pub(crate) fn go(&mut self) {
        writeln!(self.commands.as_mut().expect("it was not ended"), "go").unwrap();
    }

    /// Returns when it has come to its next `wait`.
    pub(crate) fn wait_ready(&mut self) {
        let ready = self.answers.by_ref().map(Result::unwrap).any(|line| line.ends_with(READY));
        assert!(ready, "player {} ended early", self.pid());
    }

    /// Lets it go on to its end, without any more waiting.
    pub(crate) fn end(&mut self) {
        self.commands = None;
        assert!(self.wait().success());
    }

    /// Returns when the process has ended; a child that it left behind may go on.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // After a failed assertion; else it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: what the process above does. Where nobody gave it a part it has nothing to do.
#[test]
#[ignore = "the other process of tests"]
fn entry() {
    let Ok(part) = std::env::var(PART) else { return };
    let mut held = Vec::new();
    let mut steps = part.split(';').map(str::trim);
    while let Some(step) = steps.next() {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        let addresses: Vec<SocketAddr> = rest.split(' ').filter_map(|word| word.parse().ok()).collect();
        match (verb, addresses[..].as_ref()) {
            ("wait", _) => wait(),
            ("name", _) => nix::sys::prctl::set_name(&std::ffi::CString::new(rest).unwrap()).unwrap(),
            ("title", _) => retitle(rest),
            ("user", _) => {
                let id = rest.parse().unwrap();
                setgid(Gid::from_raw(id)).unwrap();
                setuid(Uid::from_raw(id)).unwrap();
            }
            ("exchange", &[client, server]) => ends::exchange(client, server),
            ("refused", &[client, server]) => ends::refused(client, server),
            ("raced", &[client, server]) => ends::raced(client, server),
            ("deserted", &[client, server]) => ends::deserted(client, server),
            ("serve", _) => ends::serve_once(&held.pop().expect("it listens")),
            ("abort", _) => drop(report::abort()),
            ("self", &[end]) => drop(ends::itself(end)),
            ("hold", &[end]) => held.push(ends::itself(end)),
            ("listen", &[end]) => held.push(ends::listening(end)),
            ("accept", _) => {
                let listener = held.pop().expect("it listens");
                held.push(ends::with_unread(&listener));
            }
            // Without closing anything, as a process that has had enough does.
            ("exit", _) => std::process::exit(0),
            ("spawn" | "leave", _) => {
                // What follows is the child's part.
                let part: Vec<_> = steps.by_ref().collect();
                let mut child = player(&part.join(";")).spawn().unwrap();
                assert!(verb == "leave" || child.wait().unwrap().success());
            }
            _ => panic!("no step: {step}"),
        }
    }
}

fn wait() {
    // The line before it may be libtest's, which has no end yet.
    println!("{READY}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// Writes bytes, given in hexadecimal, over this process's own arguments, as setproctitle(3) does: libtest
/// takes no arguments that are not UTF-8.
fn retitle(hex: &str) {
    let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    let title: Vec<_> = hex.as_bytes().chunks(2).map(byte).collect();
    let stat = procfs::process::Process::myself().and_then(|own| own.stat()).unwrap();
    let (start, end) = stat.arg_start.zip(stat.arg_end).unwrap();
    assert!(title.len() < (end - start) as usize, "there is room");
    let memory = std::fs::OpenOptions::new().write(true).open("/proc/self/mem").unwrap();
    std::os::unix::fs::FileExt::write_all_at(&memory, &title, start).unwrap();
}
