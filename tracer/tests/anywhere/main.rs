//! Tests as root of what is the same on every kernel: they run on this one only (`cargo xtask test`),
//! while those of `live` run in virtual machines too.

use std::sync::{Mutex, MutexGuard, PoisonError};

mod accounts;
mod attribution;
#[path = "../live/cgroup.rs"]
mod cgroup;
#[path = "../live/child.rs"]
mod child;
mod command;
mod contained;
mod crowd;
mod demo;
mod doctor;
mod ending;
#[path = "../live/ends.rs"]
mod ends;
mod existing;
mod filters;
mod flood;
mod full;
mod hostile;
mod loss;
mod named;
mod observe;
#[path = "../live/peer/mod.rs"]
#[expect(dead_code, reason = "some of it is for the other tests")]
mod peer;
mod priority;
mod process;
mod recorded;
mod redacted;
mod refused;
mod replay;
#[path = "../live/report.rs"]
#[expect(dead_code, reason = "some of it is for the other tests")]
mod report;
mod rotated;
mod shortage;
mod tcpstates;
mod terminal;
mod trace;
mod unhappy;
mod vanished;
mod witness;

/// Held by tests that load the machine, and by those that must not be loaded.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
