//! The user who called sudo, doas or pkexec.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use nix::unistd::{Gid, Uid};

use super::{CommandError, Environment};
use crate::host::{account::Account, users::User};

/// Whom the command runs as, if not as we do.
#[derive(Debug)]
pub(super) struct Identity(Account);

impl Identity {
    /// The user that the variables of sudo(8), doas(1) or pkexec(1) name; `None` without any of them.
    ///
    /// # Errors
    /// [`CommandError::UnknownCaller`] if they contradict the system's users: who called must not become root by that.
    pub(super) fn of_caller(environment: &Environment) -> Result<Option<Self>, CommandError> {
        let value = |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str());
        let sudo = [value("SUDO_USER"), value("SUDO_UID"), value("SUDO_GID")];
        let found = match (sudo, value("DOAS_USER"), value("PKEXEC_UID")) {
            ([None, None, None], None, None) => return Ok(None),
            ([Some(name), Some(uid), Some(gid)], ..) => Self::look_up(name, uid, gid),
            ([None, None, None], Some(name), _) => name.to_str().and_then(|name| User::from_name(name).ok()?),
            ([None, None, None], None, Some(uid)) => {
                number(uid).and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok()?)
            }
            _ => None,
        };
        found.and_then(Account::of).ok_or(CommandError::UnknownCaller).map(|account| Some(Self(account)))
    }

    /// The user of that name, if the ids are his; with that group.
    fn look_up(name: &OsStr, uid: &OsStr, gid: &OsStr) -> Option<User> {
        let user = User::from_name(name.to_str()?).ok()?.filter(|user| number(uid) == Some(user.uid.as_raw()))?;
        Some(User { gid: Gid::from_raw(number(gid)?), ..user })
    }

    pub(super) fn uid(&self) -> Uid {
        self.0.user().uid
    }

    /// Makes the environment, which is in part root's, the user's own.
    pub(super) fn adapt(&self, environment: &mut Environment) {
        let user = self.0.user();
        let own: [(&str, OsString); 4] = [
            ("HOME", user.dir.clone().into()),
            ("USER", user.name.clone().into()),
            ("LOGNAME", user.name.clone().into()),
            ("SHELL", user.shell.clone().into()),
        ];
        let is_callers =
            |key: &OsStr| key.as_bytes().starts_with(b"SUDO_") || key == "DOAS_USER" || key == "PKEXEC_UID";
        // Root's mailbox; and root's key to a display, of no use to anybody who may not read it.
        let is_roots = |key: &OsStr, value: &OsStr| {
            key == "MAIL" || key == "XAUTHORITY" && !Path::new(value).starts_with(&user.dir)
        };
        environment.retain(|(key, value)| {
            !is_callers(key) && !is_roots(key, value) && own.iter().all(|(name, _)| key != name)
        });
        environment.extend(own.map(|(name, value)| (name.into(), value)));
    }

    /// Turns the calling process into this user's; async-signal-safe.
    pub(super) fn assume(&self) -> nix::Result<()> {
        self.0.assume()
    }
}

/// An id, in decimal digits.
fn number(id: &OsStr) -> Option<u32> {
    id.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use nix::unistd::User as LibcUser;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn takes_a_user_only_if_all_variables_agree() {
        let identity =
            |name, uid| Identity::of_caller(&environment(&[("SUDO_USER", name), ("SUDO_UID", uid), ("SUDO_GID", "0")]));
        assert_eq!(identity("root", "0").unwrap().map(|found| found.0.user().name.clone()).as_deref(), Some("root"));
        for (name, uid) in [("root", "1"), ("root", ""), ("no such user", "0")] {
            assert!(matches!(identity(name, uid), Err(CommandError::UnknownCaller)), "{name} {uid}");
        }
        assert!(Identity::of_caller(&environment(&[("SUDO_USER", "root"), ("SUDO_UID", "0")])).is_err());
        assert!(Identity::of_caller(&environment(&[])).unwrap().is_none());
    }

    #[test]
    fn knows_the_callers_of_doas_and_pkexec() {
        let caller = |name: &str, value: &str| Identity::of_caller(&environment(&[(name, value)]));
        let nobody = LibcUser::from_name("nobody").unwrap().unwrap();
        for (name, value) in [("DOAS_USER", "nobody".to_owned()), ("PKEXEC_UID", nobody.uid.to_string())] {
            let found = caller(name, &value).unwrap().unwrap();
            assert_eq!((found.0.user().uid, found.0.user().gid), (nobody.uid, nobody.gid), "{name}");
        }
        for (name, value) in [("DOAS_USER", "no such user"), ("PKEXEC_UID", "4294967294"), ("PKEXEC_UID", "x")] {
            assert!(matches!(caller(name, value), Err(CommandError::UnknownCaller)), "{name} {value}");
        }
    }

    #[test]
    fn the_environment_becomes_the_users() {
        let mut variables = environment(&[
            ("SUDO_USER", "root"),
            ("SUDO_UID", "0"),
            ("SUDO_GID", "0"),
            ("SUDO_COMMAND", "tracer"),
            ("HOME", "/elsewhere"),
            ("MAIL", "/var/mail/other"),
            ("XAUTHORITY", "/elsewhere/.Xauthority"),
            ("LANG", "C"),
        ]);
        Identity::of_caller(&variables).unwrap().unwrap().adapt(&mut variables);
        let names: Vec<_> = variables.iter().filter_map(|(name, _)| name.to_str()).collect();
        assert_eq!(names, ["LANG", "HOME", "USER", "LOGNAME", "SHELL"]);
        let root = LibcUser::from_name("root").unwrap().unwrap();
        assert_eq!(variables[1].1, root.dir);
        assert_eq!(variables[2].1, "root");
    }
}
