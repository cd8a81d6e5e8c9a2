//! Files that the user asks for. They hold command lines and addresses, and root writes them in directories that others
//! may write to.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Component, Path},
};

use crate::host::account::Account;

/// How files are made.
#[derive(Debug, Clone, Default)]
pub struct Making {
    /// Files that exist are overwritten.
    pub force: bool,
    /// Whose they become, if not the caller's.
    pub owner: Option<Account>,
}

impl Making {
    /// As [`create`].
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        let file = create(path, self.force)?;
        match &self.owner {
            Some(owner) if file.metadata()?.is_file() => owner.own(&file)?,
            _ => {}
        }
        Ok(file)
    }
}

/// Opens a file to write, which only its owner may read: a new one, one that is empty and the caller's own (mktemp(1)
/// makes such), a named pipe (this waits for its reader), or a device. A file that has something in it is overwritten
/// only by `force`.
///
/// # Errors
/// If there is such a file, or a symbolic link, which somebody else may have put there: it is never followed, but in
/// /dev itself, /dev/fd, /dev/pts and /proc, where only root can put one. Else if it cannot be opened.
pub(crate) fn create(path: &Path, force: bool) -> io::Result<File> {
    if is_the_systems(path) {
        return OpenOptions::new().write(true).open(path);
    }
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    match options.create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other,
    }
    let file = options.create_new(false).open(path).map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => refusal("it is a symbolic link, which is not followed: name the file itself"),
        _ => error,
    })?;
    // What was opened is looked at, and not what the name leads to meanwhile.
    let there = file.metadata()?;
    if there.file_type().is_fifo() || there.file_type().is_char_device() {
        return Ok(file);
    }
    let is_own = there.uid() == nix::unistd::geteuid().as_raw() && there.nlink() == 1;
    let is_free = force || there.len() == 0 && is_own;
    if !there.is_file() || !is_free {
        return Err(refusal("it exists: choose another name, or overwrite it with --force"));
    }
    file.set_len(0)?;
    Ok(file)
}

/// It is in a directory where only root, or the kernel, puts what is there. (In /dev/shm everybody may.)
fn is_the_systems(path: &Path) -> bool {
    let is_straight = path.components().all(|component| component != Component::ParentDir);
    let is_device =
        path.parent().is_some_and(|parent| ["/dev", "/dev/fd", "/dev/pts"].map(Path::new).contains(&parent));
    is_straight && (is_device || path.starts_with("/proc"))
}

fn refusal(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, text)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn refused(path: &Path, force: bool) -> String {
        create(path, force).unwrap_err().to_string()
    }

    #[test]
    fn only_the_owner_may_read_what_was_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new");
        create(&path, false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        create(&path, false).expect("it is empty, and our own");
    }

    #[test]
    fn nothing_is_overwritten_unless_that_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kept");
        fs::write(&path, "kept").unwrap();
        assert!(refused(&path, false).contains("--force"));
        assert_eq!(fs::read(&path).unwrap(), b"kept");
        create(&path, true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        for is_there in [false, true] {
            if is_there {
                fs::write(&target, "").unwrap();
            }
            symlink(&target, &link).unwrap();
            for force in [false, true] {
                assert!(refused(&link, force).contains("symbolic link"));
            }
            assert_eq!(target.exists(), is_there);
            fs::remove_file(&link).unwrap();
        }
        // A second name of an empty file of ours is one that somebody else may have made.
        fs::hard_link(&target, &link).unwrap();
        assert!(refused(&link, false).contains("it exists"));
    }

    #[test]
    fn a_device_is_what_it_is() {
        create(Path::new("/dev/null"), false).unwrap();
        create(Path::new("/proc/self/fd/1"), false).unwrap();
        for path in ["/dev/shm/file", "/dev/../tmp/file", "/proc/../tmp/file", "/tmp/dev/null"] {
            assert!(!is_the_systems(Path::new(path)), "{path}");
        }
        for path in ["/dev/stdout", "/dev/fd/3", "/dev/pts/0", "/proc/1/fd/2"] {
            assert!(is_the_systems(Path::new(path)), "{path}");
        }
    }
}
