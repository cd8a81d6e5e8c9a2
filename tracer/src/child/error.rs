//! Why a command did not start, and the exit code that shells give for it.

use std::{
    ffi::{CString, OsStr},
    io,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::image::{Failure, Step};

/// The command did not start.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No file of this name.
    #[error("command not found: `{command}` (check its spelling, or give its path)")]
    NotFound {
        /// As it was given.
        command: String,
    },
    /// There is a file, which the kernel does not execute.
    #[error("cannot execute `{command}`: {reason}")]
    NotExecutable {
        /// As it was given.
        command: String,
        /// What the kernel said, or what that means.
        reason: String,
    },
    /// It is not known whom to run it as, and so it must not run as root.
    #[error(
        "the variables of sudo, doas or pkexec (SUDO_USER, SUDO_UID and SUDO_GID; DOAS_USER; PKEXEC_UID) do not name one \
         user of this system, so COMMAND could only run as root: call that program again, or unset them to run it as root"
    )]
    UnknownCaller,
    /// There is no terminal, or there can be none, for it.
    #[error("cannot give COMMAND a terminal of its own: {0} (`--pty=never` lets it share the tracer's)")]
    NoTerminal(io::Error),
    /// Something before the exec failed.
    #[error("cannot {attempt}: {error}")]
    Other {
        /// What was tried.
        attempt: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
}

impl CommandError {
    pub(super) fn starting(error: impl Into<io::Error>) -> Self {
        Self::Other { attempt: "start COMMAND", error: error.into() }
    }

    pub(super) fn new(failure: Failure, name: &OsStr, candidates: &[CString]) -> Self {
        let command = name.to_string_lossy().into_owned();
        let error = io::Error::from_raw_os_error(failure.errno);
        match (failure.step, failure.errno) {
            (Step::Place, _) => Self::Other { attempt: "give COMMAND a terminal of its own (see --pty)", error },
            (Step::Identity, _) => Self::Other { attempt: "run COMMAND as the caller of sudo, doas or pkexec", error },
            // The kernel says ENOENT for what the file needs, too.
            (Step::Exec, libc::ENOENT) if candidates.iter().any(is_file) => {
                let reason = "its interpreter does not exist".to_owned();
                Self::NotExecutable { command, reason }
            }
            (Step::Exec, libc::ENOENT | libc::ENOTDIR) => Self::NotFound { command },
            (Step::Exec, _) => Self::NotExecutable { command, reason: error.to_string() },
        }
    }

    /// The exit code that shells give: 127 for not found, 126 for not executable; else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } => 126,
            Self::UnknownCaller | Self::NoTerminal(_) | Self::Other { .. } => 1,
        }
    }
}

fn is_file(path: &CString) -> bool {
    Path::new(OsStr::from_bytes(path.as_bytes())).is_file()
}
