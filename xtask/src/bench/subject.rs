//! What is measured: this tracer in several ways, other tools, and nothing at all.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::peers::Peer;

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
    /// With these arguments; its report goes to a file.
    Tracer(&'static [&'static str]),
    Peer(Peer),
}

/// In the order of their turns.
pub(super) static ALL: [Subject; 10] = [
    Subject { name: NONE, program: Program::Nobody },
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

/// A subject that is there to be run.
pub(super) struct Ready {
    pub(super) subject: &'static Subject,
    /// None for [`Program::Nobody`].
    path: Option<PathBuf>,
}

impl Ready {
    /// Finds or installs what it takes; `None`, having said why, where that cannot be.
    pub(super) fn provide(subject: &'static Subject, tracer: &Path) -> Option<Self> {
        let path = match subject.program {
            Program::Nobody => None,
            Program::Tracer(_) => Some(tracer.to_owned()),
            Program::Peer(peer) => Some(peer.provide()?),
        };
        Some(Self { subject, path })
    }

    /// The command that runs it.
    pub(super) fn command(&self) -> Option<Command> {
        let path = self.path.as_ref()?;
        match self.subject.program {
            Program::Nobody => None,
            Program::Tracer(args) => {
                let mut command = Command::new(path);
                command.args(args);
                Some(command)
            }
            Program::Peer(peer) => Some(peer.command(path)),
        }
    }
}
