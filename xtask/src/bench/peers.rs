//! Other tools for the same tracepoint, to compare with.

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use crate::apt;

/// A tool, and the package that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Tcpstates,
    Bpftrace,
}

/// What libbpf-tools' tcpstates prints, as far as the tracepoint tells it.
const ONE_LINER: &str = r#"tracepoint:sock:inet_sock_set_state {
    printf("%-8d %-16s %d:%d %d -> %d\n", pid, comm, args->sport, args->dport, args->oldstate, args->newstate);
}"#;

impl Peer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcpstates => "tcpstates",
            Self::Bpftrace => "bpftrace",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Tcpstates => "libbpf-tools",
            Self::Bpftrace => "bpftrace",
        }
    }

    /// The command that runs it; installs the tool if need be. Says why if there is none.
    pub(super) fn provide(self) -> Option<PathBuf> {
        if let Some(path) = self.find() {
            return Some(path);
        }
        let installed = if apt::can_install() { apt::install(&[self.package()]) } else { Ok(()) };
        let found = self.find();
        if found.is_none() {
            let why = installed.err().map_or_else(|| "it is not installed".to_owned(), |error| format!("{error:#}"));
            let remedy = apt::install_line(&[self.package()]);
            eprintln!("skipped: {}: {why} (Debian: {remedy})", self.name());
        }
        found
    }

    /// Debian has some of these tools where only root looks.
    fn find(self) -> Option<PathBuf> {
        which::which(self.name()).or_else(|_| which::which(Path::new("/usr/sbin").join(self.name()))).ok()
    }

    pub(super) fn command(self, path: &Path) -> Command {
        let mut command = Command::new(path);
        if self == Self::Bpftrace {
            command.args(["-B", "full", "-e", ONE_LINER]);
        }
        if !Path::new("/sys/kernel/tracing/events").exists() {
            // SAFETY: system calls only, and what they change is the child's own.
            unsafe { command.pre_exec(mount_tracefs) };
        }
        command
    }
}

/// Both find tracepoints by tracefs; where nobody has mounted it, it is for this process only.
fn mount_tracefs() -> io::Result<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("tracefs"), "/sys/kernel/tracing", Some("tracefs"), MsFlags::empty(), none)?;
    Ok(())
}
