//! The names of users.

use nix::unistd::Uid;

use super::cache::Cache;
use crate::host::users::User;

#[derive(Default)]
pub(super) struct Users(Cache<u32, String>);

impl Users {
    /// The name of a user, or the one that masks it; `learn` is told of it when it is found. `/etc/passwd` alone is
    /// asked: getent(1) would be a program to start, which a run that is set up may not.
    pub(super) fn name(&mut self, uid: u32, masked: Option<String>, learn: impl FnOnce(&str)) -> Option<String> {
        self.0.get(uid, || {
            let local = || Some(User::local(Uid::from_raw(uid)).ok()??.name);
            let name = masked.or_else(local)?;
            learn(&name);
            Some(name)
        })
    }
}
