//! Least privilege: what a process gives up when all is set up, so that whoever finds a flaw in what reads strangers'
//! bytes finds little to do with it.

use std::path::Path;

use anyhow::Context as _;
use caps::{Capability, CapsHashSet};
use nix::sys::prctl;

use crate::host::account::Account;

pub mod capabilities;
mod files;
mod syscalls;

use self::syscalls::Purpose;

/// Where a kernel with seccomp filters says what they can do.
const SECCOMP: &str = "/proc/sys/kernel/seccomp/actions_avail";

/// How a live run goes on when all is set up.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// It runs a command, a process of this id, and passes signals on to it.
    pub command: Option<u32>,
    /// It makes files later.
    pub makes_files: bool,
    /// It goes on as this user.
    pub account: Option<Account>,
}

/// A live run is set up: its process gives up what it does not need to go on. What a kernel cannot do is said by
/// [`outlook`], and no failure.
///
/// # Errors
/// If the process cannot become the user that was named.
pub fn live(wanted: &Live) -> anyhow::Result<()> {
    let kept = capabilities::kept(wanted.command.is_some());
    if let Some(account) = &wanted.account {
        become_user(account)?;
    }
    keep(&kept);
    gain_nothing();
    filter_calls(Purpose::Live { makes_files: wanted.makes_files, command: wanted.command });
    Ok(())
}

/// A recording is open, and nothing else will be: what it says is a stranger's.
pub fn replay() {
    keep(&CapsHashSet::new());
    gain_nothing();
    if let Err(error) = files::restrict() {
        log::debug!("Landlock is not in force: {error}");
    }
    filter_calls(Purpose::Replay);
}

/// The calling thread only writes to a file that is open, on behalf of `account` if there is one.
pub(crate) fn writer(account: Option<&Account>) {
    if let Some(account) = account
        && let Err(error) = account.assume_alone()
    {
        log::debug!("a thread that writes goes on as it was: {error}");
    }
    keep(&CapsHashSet::new());
}

/// As [`writer`], but it makes its files itself: as the account may, or else wherever the caller likes.
pub(crate) fn writer_of_files(account: Option<&Account>) {
    match account {
        Some(_) => writer(account),
        None => keep(&[Capability::CAP_DAC_OVERRIDE].into()),
    }
}

/// The demo may begin: all its threads are still to come.
pub(crate) fn demo() {
    keep(&capabilities::kept_by_demo());
    gain_nothing();
}

fn keep(wanted: &CapsHashSet) {
    if let Err(error) = capabilities::keep_only(wanted) {
        log::warn!("cannot give up capabilities: {error}");
    }
}

/// No program that this process starts has more rights than it.
fn gain_nothing() {
    if let Err(error) = prctl::set_no_new_privs() {
        log::debug!("no_new_privs is not in force: {error}");
    }
}

fn filter_calls(purpose: Purpose) {
    if let Err(error) = syscalls::restrict(purpose) {
        log::debug!("system calls are not filtered: {error}");
    }
}

/// Goes on as that user, with the capabilities of now.
fn become_user(account: &Account) -> anyhow::Result<()> {
    let name = &account.user().name;
    // Else they would go with the user id 0.
    prctl::set_keepcaps(true).context("cannot keep capabilities")?;
    // Each thread for itself: those that write have no right to it any more, and the C library insists on all.
    account.assume_alone().with_context(|| format!("cannot become {name}"))?;
    // /proc/self would be root's from now on. Nobody may trace a process that has more capabilities than oneself.
    prctl::set_dumpable(true).context("cannot keep /proc/self readable")
}

/// What a run gives up on this kernel, a sentence each.
pub fn outlook() -> Vec<String> {
    let kept = capabilities::USES.iter().filter(|entry| entry.stays == capabilities::Stays::ToTheEnd);
    let kept: Vec<_> = kept.map(|entry| entry.capability.to_string()).collect();
    let calls = if Path::new(SECCOMP).exists() {
        "a run may not start programs, make files, load eBPF or open connections (seccomp)"
    } else {
        "this kernel has no seccomp filters, so a run's system calls are not limited"
    };
    let files = if files::is_there() {
        "`tracer replay` may open nothing but its recording (Landlock)"
    } else {
        "this kernel has no Landlock, or it is off, so `tracer replay` may read other files of its user"
    };
    vec![format!("after setup a run keeps {}", kept.join(", ")), calls.to_owned(), files.to_owned()]
}
