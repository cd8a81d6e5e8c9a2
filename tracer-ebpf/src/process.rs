//! Who a task is, taken at the time because it may soon be gone.

use core::mem::MaybeUninit;

use tracer_ebpf::record::{OWNER_ACTED, OWNER_UNKNOWN, Owner};

use crate::{
    offset, pid,
    sock::{Access, Object, bytes},
    task::{self, PF_EXITING},
    word_copy,
};

/// Nobody in particular.
pub(crate) static NOBODY: Owner =
    Owner { cgroup: 0, pid: 0, tid: 0, uid: u32::MAX, known: OWNER_UNKNOWN, comm: [0; 16] };

/// Who a task is.
#[inline(always)]
pub(crate) fn owner<A: Access>(task: Object<A>, known: u32) -> Owner {
    Owner {
        cgroup: task
            .follow(&offset::TASK_CGROUPS)
            .and_then(|set| set.follow(&offset::CSS_SET_DEFAULT))
            .and_then(|group| group.follow(&offset::CGROUP_KN))
            .and_then(|kn| kn.get(&offset::KN_ID))
            .unwrap_or(0),
        pid: pid::of_process(task),
        tid: pid::of_thread(task),
        uid: task.follow(&offset::TASK_CRED).and_then(|cred| cred.get(&offset::CRED_UID)).unwrap_or(u32::MAX),
        known,
        comm: bytes(task::name(actor(task))),
    }
}

/// The task whose name names what a task does: its own, but on the way out, when it is chance which thread closes what
/// the process had open.
#[inline(always)]
fn actor<A: Access>(task: Object<A>) -> Object<A> {
    let exits = task.get::<u32>(&offset::TASK_FLAGS).unwrap_or(0) & PF_EXITING != 0;
    if exits { task.follow(&offset::TASK_LEADER).unwrap_or(task) } else { task }
}

/// Who makes this system call.
#[inline(always)]
pub(crate) fn caller() -> Owner {
    let mut owner = MaybeUninit::uninit();
    // SAFETY: a variable of our own, all of which is written.
    unsafe {
        write_caller(owner.as_mut_ptr());
        owner.assume_init()
    }
}

/// Writes the owner to where it is wanted: the stack has no room for many.
///
/// # Safety
/// `to` must be writable.
#[inline(never)]
pub(crate) unsafe fn write_caller(to: *mut Owner) {
    let owner = match task::current_typed() {
        Some(task) => owner(task, OWNER_ACTED),
        None => owner(task::current(), OWNER_ACTED),
    };
    // SAFETY: the caller's.
    unsafe { word_copy::copy(to, &owner) };
}
