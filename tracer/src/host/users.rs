//! The users of this host: those of `/etc/passwd` and `/etc/group`, and those that getent(1) knows besides.
//!
//! Not by getpwnam(3): in a binary that is linked statically, glibc's would load the modules of the name service, which
//! were made for the glibc of this host and not for ours, and crash. getent asks the same modules in a process of its
//! own.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use nix::unistd::{Gid, Uid};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// By its path: who runs us with privileges may have a PATH of his own.
const GETENT: &str = "/usr/bin/getent";

/// A user, as passwd(5) has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) dir: PathBuf,
    pub(crate) shell: PathBuf,
}

impl User {
    /// # Errors
    /// If `/etc/passwd` is there and cannot be read.
    pub(crate) fn from_name(name: &str) -> io::Result<Option<Self>> {
        Self::listed(|user| user.name == name, Elsewhere::Asked(name))
    }

    /// # Errors
    /// If `/etc/passwd` is there and cannot be read.
    pub(crate) fn from_uid(uid: Uid) -> io::Result<Option<Self>> {
        Self::listed(|user| user.uid == uid, Elsewhere::Asked(&uid.to_string()))
    }

    /// Asks `/etc/passwd` alone, which costs no process.
    ///
    /// # Errors
    /// If `/etc/passwd` is there and cannot be read.
    pub(crate) fn local(uid: Uid) -> io::Result<Option<Self>> {
        Self::listed(|user| user.uid == uid, Elsewhere::Ignored)
    }

    fn listed(wanted: impl Fn(&Self) -> bool, elsewhere: Elsewhere<'_>) -> io::Result<Option<Self>> {
        let found = lines(&read(PASSWD)?).filter_map(Self::parse).find(&wanted);
        Ok(match (found, elsewhere) {
            (None, Elsewhere::Asked(key)) => {
                let answer = getent("passwd", key).unwrap_or_default();
                lines(&answer).filter_map(Self::parse).find(wanted)
            }
            (found, _) => found,
        })
    }

    /// `name:password:uid:gid:comment:directory:shell`.
    fn parse(line: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let [name, _password, uid, gid, _comment, dir, shell] = fields[..] else {
            return None;
        };
        Some(Self {
            name: str::from_utf8(name).ok()?.to_owned(),
            uid: Uid::from_raw(number(uid)?),
            gid: Gid::from_raw(number(gid)?),
            dir: path(dir),
            shell: path(shell),
        })
    }

    /// The groups that a login gives this user: the own one, and those that list the name.
    ///
    /// # Errors
    /// If `/etc/group` is there and cannot be read.
    pub(crate) fn groups(&self) -> io::Result<Vec<Gid>> {
        let mut groups = vec![self.gid];
        let others = match getent("initgroups", &self.name) {
            Some(answer) => after_name(&answer),
            // No getent, or one that knows no such list, as Alpine's.
            None => listing(&read(GROUP)?, &self.name),
        };
        groups.extend(others.into_iter().filter(|group| *group != self.gid));
        Ok(groups)
    }
}

/// Whether a user who is not in the file is asked for elsewhere.
enum Elsewhere<'a> {
    Asked(&'a str),
    Ignored,
}

/// A file without which there is nobody, as in an image that holds nothing else.
fn read(file: &str) -> io::Result<Vec<u8>> {
    match fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// What getent says, if it knows the key.
fn getent(database: &str, key: &str) -> Option<Vec<u8>> {
    let mut command = Command::new(GETENT);
    command.args(["--", database, key]).env_clear().stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok()?;
    output.status.success().then_some(output.stdout)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// `name gid gid ...`
fn after_name(line: &[u8]) -> Vec<Gid> {
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.skip(1).filter_map(number).map(Gid::from_raw).collect()
}

/// The groups, `name:password:gid:member,member,...`, of which the user is a member.
fn listing(groups: &[u8], user: &str) -> Vec<Gid> {
    let group = |line: &[u8]| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let [_name, _password, gid, members] = fields[..] else {
            return None;
        };
        members.split(|byte| *byte == b',').find(|member| *member == user.as_bytes())?;
        number(gid).map(Gid::from_raw)
    };
    lines(groups).filter_map(group).collect()
}

fn number(digits: &[u8]) -> Option<u32> {
    str::from_utf8(digits).ok()?.parse().ok()
}

fn path(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_none_are_passed_over() {
        let user = User::parse(b"alice:x:1000:100:Alice,,,:/home/alice:/bin/sh").unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_raw(), user.gid.as_raw()), ("alice", 1000, 100));
        assert_eq!((user.dir, user.shell), ("/home/alice".into(), "/bin/sh".into()));
        for wrong in ["", "+::::::", "alice:x:1000", "alice:x::100::/:/bin/sh", "a:x:-1:0::/:", "a:x:4294967296:0::/:"]
        {
            assert_eq!(User::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn members_of_groups_are_whole_names() {
        let groups = b"adm:x:4:alice,bob\nx:x:5:alic\ny:x:6:\nz:x:7:bob,alice\n# alice\n";
        assert_eq!(listing(groups, "alice"), [4, 7].map(Gid::from_raw));
        assert_eq!(after_name(b"alice                 4 24 100\n"), [4, 24, 100].map(Gid::from_raw));
    }

    /// The witness is libc itself, which in a dynamic binary asks all that the system is told to ask.
    #[test]
    fn everybody_is_known_as_libc_knows_them() {
        let users = read(PASSWD).unwrap();
        let names: Vec<_> = lines(&users).filter_map(User::parse).map(|user| user.name).collect();
        assert!(names.contains(&"root".to_owned()), "{names:?}");
        for name in names {
            let libcs = nix::unistd::User::from_name(&name).unwrap().unwrap();
            let ours = User::from_name(&name).unwrap().unwrap();
            assert_eq!((ours.uid, ours.gid, &ours.dir, &ours.shell), (libcs.uid, libcs.gid, &libcs.dir, &libcs.shell));
            let c_name = std::ffi::CString::new(name).unwrap();
            let mut expected = nix::unistd::getgrouplist(&c_name, libcs.gid).unwrap();
            let mut groups = ours.groups().unwrap();
            expected.sort_by_key(|gid| gid.as_raw());
            groups.sort_by_key(|gid| gid.as_raw());
            assert_eq!(groups, expected, "{}", ours.name);
        }
        assert_eq!(User::from_name("no such user").unwrap(), None);
        assert_eq!(User::from_uid(Uid::from_raw(4_294_967_294)).unwrap(), None);
        assert_eq!(User::local(Uid::from_raw(0)).unwrap().map(|user| user.name).as_deref(), Some("root"));
    }
}
