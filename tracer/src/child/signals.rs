//! What a process passes on to its children with its signals. All of it is async-signal-safe.

use std::{ffi::c_int, mem::MaybeUninit, ptr};

use nix::sys::signal::{SigSet, Signal};

/// Undoes in the child what was done to signals in this process, and lets all of them in.
///
/// What was ignored when we started stays ignored, so that `nohup tracer` is for the command as well;
/// except SIGPIPE, which it is Rust's start-up code that ignores.
pub(super) fn restore() {
    for signal in 1..=libc::SIGRTMAX() {
        // An exec would reset handlers, but the child is held for long enough to run one.
        let handled = disposition(signal).is_some_and(|action| ![libc::SIG_DFL, libc::SIG_IGN].contains(&action));
        if handled || signal == libc::SIGPIPE {
            set_default(signal);
        }
    }
    // Fails only for arguments that this cannot have.
    let _ = SigSet::empty().thread_set_mask();
}

/// With SIGCHLD ignored, which we may have inherited, the kernel would not keep how a child ended.
pub(super) fn keep_exit_statuses() {
    if disposition(libc::SIGCHLD) == Some(libc::SIG_IGN) {
        set_default(libc::SIGCHLD);
    }
}

/// Whoever started us wants this signal to have no effect.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    disposition(signal as c_int) == Some(libc::SIG_IGN)
}

/// `None` for the two signals that the C library keeps to itself.
fn disposition(signal: c_int) -> Option<libc::sighandler_t> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action this only writes the present one to where `action` has room for it.
    let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: written, as the call succeeded.
    (result == 0).then(|| unsafe { action.assume_init() }.sa_sigaction)
}

fn set_default(signal: c_int) {
    // SAFETY: the default runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}
