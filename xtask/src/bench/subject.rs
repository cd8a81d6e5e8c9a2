//! What is measured: this tracer in several ways, other tools, and nothing at all.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::{empty, peers::Peer};

/// One of them.
#[derive(Debug)]
pub(super) struct Subject {
    /// On the command line and in the table.
    pub(super) name: &'static str,
    pub(super) program: Program,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// The load alone.
    Nobody,
    /// Programs that do nothing: the least that any tracer costs.
    Empty,
    /// With these arguments; its report goes to a file.
    Tracer(&'static [&'static str]),
    Peer(Peer),
}

/// In the order of their turns.
pub(super) static ALL: [Subject; 11] = [
    Subject { name: NONE, program: Program::Nobody },
    Subject { name: "empty", program: Program::Empty },
    Subject { name: "trace", program: Program::Tracer(&["trace"]) },
    Subject { name: "trace-state", program: Program::Tracer(&["trace", "-e", "state"]) },
    Subject { name: "trace-json", program: Program::Tracer(&["trace", "-j"]) },
    // Nobody has port 1.
    Subject { name: "trace-nothing", program: Program::Tracer(&["trace", "-P", "1"]) },
    Subject { name: "trace-rst", program: Program::Tracer(&["trace", "-e", "rst"]) },
    Subject { name: "rst", program: Program::Tracer(&["rst"]) },
    Subject { name: "trace-lookup", program: Program::Tracer(&["trace", "-e", "state,rst,open,lookup"]) },
    Subject { name: "tcpstates", program: Program::Peer(Peer::Tcpstates) },
    Subject { name: "bpftrace", program: Program::Peer(Peer::Bpftrace) },
];

/// The one that the others are compared with.
pub(super) const NONE: &str = "none";

impl Subject {
    /// Whether it can go into a virtual machine that counts: bpftrace is linked with all of LLVM.
    pub(super) fn can_be_counted(&self) -> bool {
        self.program != Program::Peer(Peer::Bpftrace)
    }
}

/// A subject that is there to be run.
pub(super) struct Ready {
    pub(super) subject: &'static Subject,
    /// None for what needs no program but this one.
    path: Option<PathBuf>,
}

impl Ready {
    /// Finds or installs what it takes; `None`, having said why, where that cannot be.
    pub(super) fn provide(subject: &'static Subject, tracer: &Path) -> Option<Self> {
        let path = match subject.program {
            Program::Nobody | Program::Empty => None,
            Program::Tracer(_) => Some(tracer.to_owned()),
            Program::Peer(peer) => Some(peer.provide()?),
        };
        Some(Self { subject, path })
    }

    /// The command that runs it; none if there is nothing to run.
    pub(super) fn command(&self) -> Result<Option<Command>> {
        let command = match (self.subject.program, &self.path) {
            (Program::Empty, _) => empty::command()?,
            (Program::Tracer(args), Some(path)) => {
                let mut command = Command::new(path);
                command.args(args);
                command
            }
            (Program::Peer(peer), Some(path)) => peer.command(path),
            (Program::Nobody, _) | (Program::Tracer(_) | Program::Peer(_), None) => return Ok(None),
        };
        Ok(Some(command))
    }
}
