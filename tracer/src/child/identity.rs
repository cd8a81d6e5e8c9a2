//! The user who called sudo.

use std::{
    ffi::{CString, OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use nix::unistd::{Gid, Uid, User, getgrouplist, setgid, setgroups, setuid};

use super::{CommandError, Environment};

/// Whom the command runs as, if not as we do.
#[derive(Debug)]
pub(super) struct Identity {
    user: User,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Identity {
    /// The user that sudo's variables name; `None` without them.
    ///
    /// # Errors
    /// [`CommandError::UnknownCaller`] if they contradict the system's users: who called must not become root by that.
    pub(super) fn from_sudo(environment: &Environment) -> Result<Option<Self>, CommandError> {
        let value = |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str());
        let (name, uid, gid) = (value("SUDO_USER"), value("SUDO_UID"), value("SUDO_GID"));
        if name.is_none() && uid.is_none() && gid.is_none() {
            return Ok(None);
        }
        let identity = name.zip(uid).zip(gid).and_then(|((name, uid), gid)| Self::look_up(name, uid, gid));
        identity.ok_or(CommandError::UnknownCaller).map(Some)
    }

    fn look_up(name: &OsStr, uid: &OsStr, gid: &OsStr) -> Option<Self> {
        let uid = Uid::from_raw(uid.to_str()?.parse().ok()?);
        let gid = Gid::from_raw(gid.to_str()?.parse().ok()?);
        let user = User::from_name(name.to_str()?).ok()?.filter(|user| user.uid == uid)?;
        let groups = getgrouplist(&CString::new(name.as_bytes()).ok()?, gid).ok()?;
        Some(Self { user, gid, groups })
    }

    /// Makes sudo's environment the user's own.
    pub(super) fn adapt(&self, environment: &mut Environment) {
        let own: [(&str, OsString); 4] = [
            ("HOME", self.user.dir.clone().into()),
            ("USER", self.user.name.clone().into()),
            ("LOGNAME", self.user.name.clone().into()),
            ("SHELL", self.user.shell.clone().into()),
        ];
        environment.retain(|(key, _)| !key.as_bytes().starts_with(b"SUDO_") && own.iter().all(|(name, _)| key != name));
        environment.extend(own.map(|(name, value)| (name.into(), value)));
    }

    /// Turns the calling process into this user's; async-signal-safe.
    pub(super) fn assume(&self) -> nix::Result<()> {
        // The user last: without it there is no right to change the groups.
        setgroups(&self.groups)?;
        setgid(self.gid)?;
        setuid(self.user.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn takes_a_user_only_if_all_variables_agree() {
        let identity =
            |name, uid| Identity::from_sudo(&environment(&[("SUDO_USER", name), ("SUDO_UID", uid), ("SUDO_GID", "0")]));
        assert_eq!(identity("root", "0").unwrap().map(|found| found.user.name).as_deref(), Some("root"));
        for (name, uid) in [("root", "1"), ("root", ""), ("no such user", "0")] {
            assert!(matches!(identity(name, uid), Err(CommandError::UnknownCaller)), "{name} {uid}");
        }
        assert!(Identity::from_sudo(&environment(&[("SUDO_USER", "root"), ("SUDO_UID", "0")])).is_err());
        assert!(Identity::from_sudo(&environment(&[])).unwrap().is_none());
    }

    #[test]
    fn the_environment_becomes_the_users() {
        let mut variables = environment(&[
            ("SUDO_USER", "root"),
            ("SUDO_UID", "0"),
            ("SUDO_GID", "0"),
            ("SUDO_COMMAND", "tracer"),
            ("HOME", "/elsewhere"),
            ("LANG", "C"),
        ]);
        Identity::from_sudo(&variables).unwrap().unwrap().adapt(&mut variables);
        let names: Vec<_> = variables.iter().filter_map(|(name, _)| name.to_str()).collect();
        assert_eq!(names, ["LANG", "HOME", "USER", "LOGNAME", "SHELL"]);
        let root = User::from_name("root").unwrap().unwrap();
        assert_eq!(variables[1].1, root.dir);
        assert_eq!(variables[2].1, "root");
    }
}
