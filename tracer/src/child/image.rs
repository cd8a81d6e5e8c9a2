//! What the child turns into. All of it is made before the fork: the child of a process with threads may
//! only call what is async-signal-safe (signal-safety(7)), so it must not allocate.

use std::{
    ffi::{CString, OsStr, OsString, c_char},
    io,
    os::unix::{ffi::OsStrExt, net::UnixStream},
    path::Path,
    ptr,
};

use nix::{
    errno::Errno,
    unistd::{read, write},
};

use super::{Environment, identity::Identity, signals, terminal::Place};

/// Where execvp(3) of glibc searches without `PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// What the child is to do.
pub(super) struct Image {
    /// Paths to try, in order.
    candidates: Vec<CString>,
    arguments: Pointers,
    /// `/bin/sh`, a place for the path of the script, and the command's own arguments.
    script_arguments: Pointers,
    environment: Pointers,
    identity: Option<Identity>,
    place: Place,
}

/// What failed in the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) errno: i32,
}

/// What the child does when it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Place,
    Identity,
    Exec,
}

impl Image {
    /// # Errors
    /// `InvalidInput` if there is no command, or a NUL in it.
    pub(super) fn new(
        command: &[OsString],
        environment: &Environment,
        identity: Option<Identity>,
        place: Place,
    ) -> io::Result<Self> {
        let Some((name, arguments)) = command.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is empty"));
        };
        let path = environment.iter().find(|(key, _)| key == "PATH").map(|(_, path)| path.as_os_str());
        let script =
            [OsStr::new("/bin/sh"), OsStr::new("")].into_iter().chain(arguments.iter().map(OsString::as_os_str));
        let variables = environment.iter().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
        Ok(Self {
            candidates: candidates(name, path.unwrap_or(OsStr::new(DEFAULT_PATH)))?,
            arguments: Pointers::new(command.iter().map(|argument| CString::new(argument.as_bytes())))?,
            script_arguments: Pointers::new(script.map(|argument| CString::new(argument.as_bytes())))?,
            environment: Pointers::new(variables.map(CString::new))?,
            identity,
            place,
        })
    }

    /// What the parent still needs: the paths, and what belongs to the child's place.
    pub(super) fn into_parts(self) -> (Vec<CString>, Place) {
        (self.candidates, self.place)
    }

    /// The child's whole life up to the exec: it waits for a byte; without one it ends.
    pub(super) fn become_it(&mut self, channel: &UnixStream) -> ! {
        signals::restore();
        let mut byte = [0];
        let released = loop {
            match read(channel, &mut byte) {
                Err(Errno::EINTR) => {}
                result => break result == Ok(1),
            }
        };
        if released {
            // If nobody reads it, nobody wants to know.
            let _ = write(channel, &self.exec().to_bytes());
        }
        // SAFETY: ends the process without running anything of ours.
        unsafe { libc::_exit(127) }
    }

    /// As execvp(3), but returns which step failed.
    fn exec(&mut self) -> Failure {
        if let Err(error) = self.place.enter() {
            return Failure { step: Step::Place, errno: error as i32 };
        }
        if let Some(Err(error)) = self.identity.as_ref().map(Identity::assume) {
            return Failure { step: Step::Identity, errno: error as i32 };
        }
        let mut denied = false;
        let mut last = Errno::ENOENT;
        for path in &self.candidates {
            let mut error = self.arguments.exec(path.as_ptr(), &self.environment);
            // A script without `#!`.
            if error == Errno::ENOEXEC
                && let [shell, script, ..] = self.script_arguments.array.as_mut_slice()
            {
                *script = path.as_ptr();
                let shell = *shell;
                error = self.script_arguments.exec(shell, &self.environment);
            }
            match error {
                Errno::EACCES => denied = true,
                // This element of PATH does not have it, or cannot be asked.
                Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => last = error,
                _ => return Failure { step: Step::Exec, errno: error as i32 },
            }
        }
        Failure { step: Step::Exec, errno: if denied { Errno::EACCES } else { last } as i32 }
    }
}

impl Failure {
    fn to_bytes(self) -> [u8; 5] {
        let [a, b, c, d] = self.errno.to_ne_bytes();
        [self.step as u8, a, b, c, d]
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&step, errno) = bytes.split_first()?;
        let step = [Step::Place, Step::Identity].into_iter().find(|&known| known as u8 == step).unwrap_or(Step::Exec);
        Some(Self { step, errno: i32::from_ne_bytes(errno.try_into().ok()?) })
    }
}

/// Strings as execve(2) takes them: pointers, the last one null.
struct Pointers {
    array: Vec<*const c_char>,
    /// What the pointers point to.
    _strings: Vec<CString>,
}

impl Pointers {
    fn new<E: Into<io::Error>>(strings: impl Iterator<Item = Result<CString, E>>) -> io::Result<Self> {
        let strings = strings.collect::<Result<Vec<_>, _>>().map_err(Into::into)?;
        let array = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Ok(Self { array, _strings: strings })
    }

    /// Returns only if it failed.
    fn exec(&self, path: *const c_char, environment: &Self) -> Errno {
        // SAFETY: `path` is of a string that the image owns, and so are the strings of both arrays, which
        // end in a null pointer.
        unsafe { libc::execve(path, self.array.as_ptr(), environment.array.as_ptr()) };
        Errno::last()
    }
}

/// The paths that `name` may mean. An empty element of `path` is the current directory.
fn candidates(name: &OsStr, path: &OsStr) -> io::Result<Vec<CString>> {
    let name_bytes = name.as_bytes();
    if name_bytes.is_empty() {
        return Ok(Vec::new());
    }
    if name_bytes.contains(&b'/') {
        return Ok(vec![CString::new(name_bytes)?]);
    }
    path.as_bytes()
        .split(|&byte| byte == b':')
        .map(|element| if element.is_empty() { b".".as_slice() } else { element })
        .map(|element| Path::new(OsStr::from_bytes(element)).join(name))
        .map(|candidate| Ok(CString::new(candidate.into_os_string().as_bytes())?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_the_path_only_for_plain_names() {
        let found = |name: &str| {
            let found = candidates(name.as_ref(), "/bin::/opt/x".as_ref()).unwrap();
            found.into_iter().map(|path| path.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(found("curl"), ["/bin/curl", "./curl", "/opt/x/curl"]);
        assert_eq!(found("./curl"), ["./curl"]);
        assert_eq!(found(""), [""; 0]);
    }

    #[test]
    fn a_failure_survives_the_channel() {
        for step in [Step::Place, Step::Identity, Step::Exec] {
            let failure = Failure { step, errno: libc::EACCES };
            assert_eq!(Failure::from_bytes(&failure.to_bytes()), Some(failure));
        }
        assert_eq!(Failure::from_bytes(&[]), None);
    }
}
