//! A user of this system, with the groups of his.

use std::{fs::File, io, os::unix::fs::fchown};

use anyhow::Context as _;
use nix::unistd::{Gid, setgid, setgroups, setuid};

use crate::host::users::User;

/// A user whom a process can become.
#[derive(Debug, Clone)]
pub struct Account {
    user: User,
    groups: Vec<Gid>,
}

impl Account {
    /// The user of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let found = User::from_name(name).with_context(|| format!("cannot look up the user {name}"))?;
        found.and_then(Self::of).with_context(|| format!("no such user: {name} (see `getent passwd`)"))
    }

    /// This user, with the groups that the system lists; `None` if it cannot tell them.
    pub(crate) fn of(user: User) -> Option<Self> {
        let groups = user.groups().ok()?;
        Some(Self { user, groups })
    }

    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    /// Makes a file this user's.
    pub(crate) fn own(&self, file: &File) -> io::Result<()> {
        fchown(file, Some(self.user.uid.as_raw()), Some(self.user.gid.as_raw()))
    }

    /// Turns the calling thread, and those that it starts, into this user's.
    pub(crate) fn assume_alone(&self) -> io::Result<()> {
        let groups: Vec<_> = self.groups.iter().map(|group| rustix::fs::Gid::from_raw(group.as_raw())).collect();
        // The user last, as below.
        rustix::thread::set_thread_groups(&groups)?;
        rustix::thread::set_thread_gid(rustix::fs::Gid::from_raw(self.user.gid.as_raw()))?;
        Ok(rustix::thread::set_thread_uid(rustix::fs::Uid::from_raw(self.user.uid.as_raw()))?)
    }

    /// Turns the calling process into this user's; async-signal-safe.
    pub(crate) fn assume(&self) -> nix::Result<()> {
        // The user last: without it there is no right to change the groups.
        setgroups(&self.groups)?;
        setgid(self.user.gid)?;
        setuid(self.user.uid)
    }
}
