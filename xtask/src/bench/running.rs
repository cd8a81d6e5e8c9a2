//! A subject that runs: from its start to what it says of itself at the end.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    os::unix::{fs::FileExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

use super::{
    empty, process, programs,
    said::{self, Account},
    subject::{Program, Ready},
};
use crate::process::end_with_parent;

/// Between looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(1);
/// For the start, and for the end with all that is still to be written.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much of the end of the output is looked at.
const TAIL: u64 = 8 << 10;

/// It is attached, and reports.
pub(super) struct Running {
    program: Program,
    child: Child,
    /// Files without a name: there is nothing to remove, whatever ends us.
    output: File,
    complaints: File,
    /// From its start until it was attached.
    pub(super) attach: Duration,
    cpu_before: f64,
}

/// What there is to say of a run.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    /// Of this tracer: by what means it observed.
    pub(super) means: Option<String>,
    pub(super) account: Account,
    /// Seconds that it computed since it was attached.
    pub(super) cpu: f64,
    pub(super) peak_kib: u64,
}

impl Running {
    /// Starts a subject and waits until it is attached; none where there is nothing to run.
    pub(super) fn of(ready: &Ready) -> Result<Option<Self>> {
        ready.command()?.map(|command| Self::start(ready.subject.program, command)).transpose()
    }

    fn start(program: Program, mut command: Command) -> Result<Self> {
        let (output, complaints) = (scratch()?, scratch()?);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(complaints.try_clone()?);
        // SAFETY: one system call, about the child alone.
        unsafe { command.pre_exec(|| Ok(end_with_parent()?)) };
        let began = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let mut running = Self { program, child, output, complaints, attach: Duration::ZERO, cpu_before: 0.0 };
        running.wait_until("attached", Self::is_ready)?;
        running.attach = began.elapsed();
        running.cpu_before = process::cpu_seconds(running.pid())?;
        Ok(running)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as Ctrl-C does, and waits until it has written everything.
    pub(super) fn stop(mut self) -> Result<Ended> {
        let peak_kib = process::peak_kib(self.pid())?;
        let pid = Pid::from_raw(self.pid().cast_signed());
        kill(pid, Signal::SIGINT).context("it has ended by itself")?;
        // Its time can be asked for as long as nobody has waited for it.
        let leave = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        self.wait_until("ended", |_| Ok(waitid(Id::Pid(pid), leave)? != WaitStatus::StillAlive))?;
        let cpu = process::cpu_seconds(self.pid())? - self.cpu_before;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("it ended with {status}: {}", self.complaints()?);
        }
        Ok(Ended { means: self.means()?, account: self.account()?, cpu, peak_kib })
    }

    fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self)? {
            if Instant::now() > deadline {
                bail!("it has not {what} within {PATIENCE:?}: {}", self.complaints()?);
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn is_ready(&mut self) -> Result<bool> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended with {status}: {}", self.complaints()?);
        }
        match self.program {
            Program::Nobody => Ok(true),
            Program::Empty => Ok(self.head()?.lines().any(|line| line == empty::ATTACHED)),
            // Its first line of JSON, or the heading of its columns: both come when it is attached.
            Program::Tracer(_) => {
                let head = self.head()?;
                let is_heading = |line: &str| line.starts_with("TIME") || line.starts_with("{\"event\":\"start\"");
                Ok(head.split_inclusive('\n').any(|line| line.ends_with('\n') && is_heading(line)))
            }
            // What they print stays in a buffer. But they wait for events only when they are set up.
            Program::Peer(_) => Ok(programs::holds_any(self.pid())? && process::waits_for_events(self.pid())?),
        }
    }

    /// The beginning of its output.
    fn head(&self) -> io::Result<String> {
        let mut head = [0; 4096];
        let length = self.output.read_at(&mut head, 0)?;
        Ok(String::from_utf8_lossy(&head[..length]).into_owned())
    }

    fn means(&self) -> Result<Option<String>> {
        match self.program {
            Program::Tracer(_) => {
                let head = self.head()?;
                Ok(Some(said::means_of_tracer(&head).with_context(|| format!("the tracer begins with: {head}"))?))
            }
            Program::Nobody | Program::Empty | Program::Peer(_) => Ok(None),
        }
    }

    fn account(&mut self) -> Result<Account> {
        match self.program {
            Program::Nobody | Program::Empty => Ok(Account::default()),
            Program::Tracer(_) => {
                let length = self.output.metadata()?.len();
                let mut tail = vec![0; usize::try_from(length.min(TAIL))?];
                self.output.read_exact_at(&mut tail, length.saturating_sub(TAIL))?;
                let tail = String::from_utf8_lossy(&tail);
                said::by_tracer(&tail).with_context(|| format!("the tracer ends with: {tail}"))
            }
            Program::Peer(_) => {
                let lines = count_lines(&mut self.output)?;
                Ok(said::by_peer(lines, &self.complaints()?))
            }
        }
    }

    fn complaints(&mut self) -> Result<String> {
        let mut text = Vec::new();
        self.complaints.rewind()?;
        self.complaints.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a failure; one that was stopped is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In memory where that can be, so that no disk is measured.
fn scratch() -> Result<File> {
    let memory = Path::new("/dev/shm");
    let file = if memory.is_dir() { tempfile::tempfile_in(memory) } else { tempfile::tempfile() };
    file.context("cannot make a temporary file")
}

fn count_lines(file: &mut File) -> io::Result<u64> {
    file.rewind()?;
    let mut block = vec![0; 64 << 10];
    let mut lines = 0;
    loop {
        match file.read(&mut block)? {
            0 => return Ok(lines),
            length => lines += block[..length].iter().filter(|byte| **byte == b'\n').count() as u64,
        }
    }
}
