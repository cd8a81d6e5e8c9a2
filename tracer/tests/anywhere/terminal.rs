//! `tracer trace -- COMMAND` at a terminal: a command of another user gets one of its own, and ours is left as it was.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::{Child, Command, ExitStatus},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{SigHandler, Signal, kill, signal},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::{Pid, Uid, User},
};
use rustix::{
    fs::{Mode, OFlags, open},
    process::{ioctl_tiocsctty, setsid},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize},
};

use crate::report::tracer;

const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody at a terminal, whose session a tracer leads.
struct Screen {
    keyboard: File,
    /// The other end: with it open the terminal outlives the tracer.
    terminal: OwnedFd,
    name: String,
    tracer: Child,
    shown: Receiver<Vec<u8>>,
    text: String,
    before: Termios,
}

/// What of its standard streams is not the terminal.
#[derive(PartialEq)]
enum Redirected {
    Nothing,
    All,
}

impl Screen {
    /// Runs `script` for `user` as sudo would.
    fn of_sudo(user: &User, args: &[&str], script: &str, redirected: &Redirected) -> Self {
        let mut command = tracer();
        command.args(["trace", "-e", "close"]).args(args).args(["--", "sh", "-c", script]);
        command.env("SUDO_USER", &user.name).env("SUDO_UID", user.uid.to_string());
        command.env("SUDO_GID", user.gid.to_string()).env("TERM", "dumb");
        Self::of(command, redirected)
    }

    fn of(mut command: Command, redirected: &Redirected) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let terminal = open(name.as_str(), OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        tcsetwinsize(&terminal, size(40, 100)).unwrap();
        let before = tcgetattr(&terminal).unwrap();
        if *redirected == Redirected::Nothing {
            let stream = || terminal.try_clone().unwrap();
            command.stdin(stream()).stdout(stream()).stderr(stream());
        }
        let own = terminal.try_clone().unwrap();
        // SAFETY: four system calls.
        unsafe {
            command.pre_exec(move || {
                // Whatever runs the tests in the background ignores them, and a shell cannot trap what was ignored before.
                for key in [Signal::SIGINT, Signal::SIGQUIT] {
                    signal(key, SigHandler::SigDfl)?;
                }
                setsid()?;
                Ok(ioctl_tiocsctty(&own)?)
            });
        }
        let tracer = command.spawn().unwrap();
        drop(command);
        let keyboard = File::from(keyboard);
        let (sender, shown) = mpsc::channel();
        let mut screen = keyboard.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keyboard, terminal, name, tracer, shown, text: String::new(), before }
    }

    /// Waits for these words.
    fn see(&mut self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.text.contains(words) {
            match self.shown.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("{error}, and no {words:?} in {:?}", self.text),
            }
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.terminal).unwrap()
    }

    /// Keys go on as they are.
    fn is_raw(&self) -> bool {
        !self.modes().local_modes.contains(LocalModes::ICANON)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.tracer.id() as i32)
    }

    /// Waits for the tracer's end. The terminal is as it was, and all that was shown on it is in the text.
    fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.tracer.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end: {:?}", self.text);
            std::thread::sleep(Duration::from_millis(10));
        };
        let text = |modes: &Termios| format!("{modes:?}");
        assert_eq!(text(&self.modes()), text(&self.before), "the terminal is as it was: {:?}", self.text);
        while let Ok(bytes) = self.shown.recv_timeout(Duration::from_millis(100)) {
            self.text.push_str(&String::from_utf8_lossy(&bytes));
        }
        (status, std::mem::take(&mut self.text))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.tracer.kill();
        let _ = self.tracer.wait();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Somebody who is not root.
fn nobody() -> User {
    User::from_uid(Uid::from_raw(65534)).unwrap().expect("this host has a user 65534")
}

/// Types `typed` at the terminal of its own process, as far as the kernel lets it.
const TYPE: &str = r#"perl -e 'open(T, "+<", "/dev/tty") or print("no terminal\n"), exit; for (split //, "typed\n") { ioctl(T, 0x5412, $_) or print("refused\n"), exit } print "done\n"'"#;

#[test]
#[ignore = "needs root"]
fn another_users_command_types_nothing_at_our_terminal() {
    let script = format!("{TYPE}; tty; ls -l $(tty); stty size; id -u; echo ready; read own; echo got $own");
    let mut screen = Screen::of_sudo(&nobody(), &[], &script, &Redirected::Nothing);
    let ours = screen.name.clone();
    // What it types, it reads itself.
    screen.see("got typed");
    let (status, text) = screen.end();
    assert!(status.success(), "{text}");
    assert!(text.contains("done") && text.contains("40 100") && text.contains("65534"), "{text}");
    assert!(!text.lines().any(|line| line.trim() == ours), "{ours} is ours: {text}");
    assert!(text.contains(&nobody().name), "its terminal is its user's: {text}");
    assert!(text.contains("no events in"), "our report is there, too: {text}");

    // The twin: where it shares our terminal, what it types is there for whoever reads next, us.
    let script = format!("{TYPE}; tty");
    let screen = Screen::of_sudo(&nobody(), &["--pty=never"], &script, &Redirected::Nothing);
    let ours = screen.name.clone();
    let mut left = screen.terminal.try_clone().map(File::from).unwrap();
    let (_, text) = screen.end();
    assert!(text.lines().any(|line| line.trim() == ours), "{text}");
    if text.contains("done") {
        let mut line = [0; 6];
        left.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"typed\n", "what the kernel lets it do");
    } else {
        assert!(text.contains("refused"), "dev.tty.legacy_tiocsti is 0: {text}");
    }
}

#[test]
#[ignore = "needs root"]
fn nor_where_all_its_streams_are_redirected() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("said");
    let mut command = tracer();
    // A child, which only a signal to all of the group reaches.
    let script = format!("trap 'exit 4' INT; {TYPE}; sleep 1000");
    command.args(["trace", "-e", "close", "--", "sh", "-c", &script]);
    let user = nobody();
    command.env("SUDO_USER", &user.name).env("SUDO_UID", user.uid.to_string()).env("SUDO_GID", user.gid.to_string());
    command.stdin(File::open("/dev/null").unwrap()).stderr(File::open("/dev/null").unwrap());
    command.stdout(File::create(&file).unwrap());
    let mut screen = Screen::of(command, &Redirected::All);
    let deadline = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&file).unwrap().contains("no terminal\n") {
        assert!(Instant::now() < deadline, "{}", std::fs::read_to_string(&file).unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    // The kernel sends it to us only.
    screen.press(b"\x03");
    assert_eq!(screen.end().0.code(), Some(4));
}

#[test]
#[ignore = "needs root"]
fn keys_signals_and_sizes_reach_the_command() {
    let script = "trap 'stty size' WINCH; trap 'echo interrupted; exit 3' INT; echo ready; while :; do read -r line && \
                  echo \"got <$line>\"; done";
    let mut screen = Screen::of_sudo(&nobody(), &[], script, &Redirected::Nothing);
    screen.see("ready");
    assert!(screen.is_raw(), "its terminal interprets keys, ours does not");
    screen.press(b"a line\n");
    screen.see("got <a line>");
    tcsetwinsize(&screen.terminal, size(50, 120)).unwrap();
    screen.press(b"another\n");
    screen.see("50 120");
    screen.press(b"\x03");
    let (status, text) = screen.end();
    assert_eq!(status.code(), Some(3), "{text}");
    assert!(text.contains("interrupted"), "{text}");
    assert_eq!(text.matches("a line").count(), 2, "it is echoed once: {text}");
}

#[test]
#[ignore = "needs root"]
fn who_is_stopped_or_told_to_end_leaves_the_terminal_as_it_was() {
    let mut screen =
        Screen::of_sudo(&nobody(), &[], "echo ready; while read line; do echo got $line; done", &Redirected::Nothing);
    screen.see("ready");
    assert!(screen.is_raw());
    kill(screen.pid(), Signal::SIGTSTP).unwrap();
    let stopped = waitid(Id::Pid(screen.pid()), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT).unwrap();
    assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
    assert!(!screen.is_raw(), "while it is stopped, the terminal is another's");
    kill(screen.pid(), Signal::SIGCONT).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !screen.is_raw() {
        assert!(Instant::now() < deadline, "it goes on");
        std::thread::yield_now();
    }
    screen.press(b"more\n");
    screen.see("got more");
    kill(screen.pid(), Signal::SIGTERM).unwrap();
    let (status, text) = screen.end();
    assert_eq!(status.code(), Some(143), "{text}");
}

#[test]
#[ignore = "needs root"]
fn all_that_the_command_has_written_is_shown() {
    let mut screen = Screen::of_sudo(&nobody(), &[], "seq 1 20000", &Redirected::Nothing);
    screen.see("20000");
    let (status, text) = screen.end();
    let numbers = text.lines().filter_map(|line| line.trim().parse::<u32>().ok());
    assert!(status.success() && numbers.eq(1..=20000), "{} bytes", text.len());
}

#[test]
#[ignore = "needs root"]
fn it_is_ours_to_choose() {
    // Root's own command shares the terminal, but for this option.
    for (args, is_apart) in [(&[][..], false), (&["--pty"], true), (&["--pty=always"], true)] {
        let mut command = tracer();
        command.args(["trace", "-e", "close"]).args(args).args(["--", "tty"]).env("TERM", "dumb");
        for name in ["SUDO_USER", "SUDO_UID", "SUDO_GID"] {
            command.env_remove(name);
        }
        let screen = Screen::of(command, &Redirected::Nothing);
        let ours = screen.name.clone();
        let (status, text) = screen.end();
        assert!(status.success(), "{text}");
        assert_eq!(text.lines().any(|line| line.trim() == ours), !is_apart, "{args:?}: {text}");
    }
    let output = tracer().args(["trace", "--pty", "--", "true"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("--pty=never") && said.lines().count() == 1, "{said}");
}
