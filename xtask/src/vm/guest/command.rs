//! Running one command in the guest.

use std::{
    io::{self, Read as _, Write as _},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::{Result, bail};
use nix::{
    sys::wait::{WaitStatus, wait},
    unistd::Pid,
};

/// The last one says that all of this machine is the programs' own: its clock, for example.
const ENVIRONMENT: [(&str, &str); 5] =
    [("PATH", "/bin"), ("HOME", "/"), ("TRACER_BIN", "/bin/tracer"), ("RUST_BACKTRACE", "1"), ("TRACER_MACHINE", "1")];
/// Variables that begin so are passed on from init's environment.
const PASSED_ON: &str = "TRACER_";

/// Runs one command and relays what it says. The result is its exit status, as shells tell it.
pub(super) fn run(words: &[String]) -> Result<u8> {
    let [program, args @ ..] = words else {
        bail!("the command is empty");
    };
    // A pipe and not the console, which is a terminal: programs colour their output there.
    let (reader, writer) = io::pipe()?;
    let relay = relay(reader);
    let child = Command::new(program)
        .args(args)
        .env_clear()
        .envs(std::env::vars().filter(|(name, _)| name.starts_with(PASSED_ON)))
        .envs(ENVIRONMENT)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    let status = wait_for(Pid::from_raw(i32::try_from(child.id())?))?;
    relay.finish();
    Ok(status)
}

/// Waits for a child and buries the orphans, which come to process 1.
fn wait_for(child: Pid) -> Result<u8> {
    loop {
        match wait()? {
            WaitStatus::Exited(pid, code) if pid == child => return Ok(u8::try_from(code)?),
            // As shells tell it.
            WaitStatus::Signaled(pid, signal, _) if pid == child => {
                return Ok(128 + u8::try_from(signal as i32)?);
            }
            _ => {}
        }
    }
}

/// Copies a command's output to the console.
struct Relay {
    finished: mpsc::Receiver<()>,
    line_is_open: Arc<AtomicBool>,
}

fn relay(mut output: io::PipeReader) -> Relay {
    let (sender, finished) = mpsc::channel();
    let line_is_open = Arc::new(AtomicBool::new(false));
    let is_open = Arc::clone(&line_is_open);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut buffer) {
            let text = &buffer[..length];
            // The console is all that there is to complain on.
            let _ = io::stdout().write_all(text).and_then(|()| io::stdout().flush());
            is_open.store(!text.ends_with(b"\n"), Ordering::Relaxed);
        }
        let _ = sender.send(());
    });
    Relay { finished, line_is_open }
}

impl Relay {
    /// Waits for the rest of the output, but not for a daemon that holds the pipe open.
    fn finish(self) {
        let _ = self.finished.recv_timeout(Duration::from_secs(1));
        if self.line_is_open.load(Ordering::Relaxed) {
            println!();
        }
    }
}
