//! Ids of processes and threads, as the tracer's pid namespace has them: the user gives them so, and reads them so.
//!
//! A `struct pid` has a number for each namespace that it is in, the initial one's first. Without branches, of which the
//! verifier would walk each, for each of several ids of a record.

use aya_ebpf::{Global, helpers::bpf_get_current_pid_tgid, macros::map, maps::Array};
use tracer_ebpf::record::OUTSIDE;

use crate::{
    offset::{self, Offset},
    sock::{Access, Object, probe_read},
    task,
};

/// Inode of the tracer's pid namespace, 0 if it is the initial one: then ids are what the kernel calls its tasks.
#[unsafe(no_mangle)]
static PID_NAMESPACE: Global<u32> = Global::new(0);

/// How deep it is nested; 0 until that is known.
#[map]
static DEPTH: Array<u32> = Array::with_max_entries(1, 0);

/// Size of a `struct upid`: a number and a namespace (include/linux/pid.h).
const UPID: u64 = 16;

/// The id of a task's process (thread group), or with [`OUTSIDE`] that in the initial namespace.
#[inline(always)]
pub(crate) fn of_process<A: Access>(task: Object<A>) -> u32 {
    let id = task.get(&offset::TASK_TGID).unwrap_or(0);
    if PID_NAMESPACE.load() == 0 { id } else { translated(read(task.address(), &offset::TASK_LEADER), id) }
}

/// The id of a thread, likewise.
#[inline(always)]
pub(crate) fn of_thread<A: Access>(task: Object<A>) -> u32 {
    let id = task.get(&offset::TASK_PID).unwrap_or(0);
    if PID_NAMESPACE.load() == 0 { id } else { translated(task.address(), id) }
}

/// Both of the current task.
#[inline(always)]
pub(crate) fn of_current() -> (u32, u32) {
    if PID_NAMESPACE.load() == 0 {
        let ids = bpf_get_current_pid_tgid();
        return ((ids >> 32) as u32, ids as u32);
    }
    (of_process(task::current()), of_thread(task::current()))
}

/// The current task is the tracer: its namespace is the deepest that it is in.
#[inline(always)]
pub(crate) fn learn_depth() {
    if let Some(depth) = DEPTH.get_ptr_mut(0) {
        let pid: u64 = read(task::current().address(), &offset::TASK_THREAD_PID);
        // SAFETY: the map's memory.
        unsafe { *depth = read(pid, &offset::PID_LEVEL) };
    }
}

/// The id of a task in the tracer's namespace; if it has none there, `id` with a mark. (The idle task has none at all.)
#[inline(never)]
fn translated(task: u64, id: u32) -> u32 {
    let Some(depth) = DEPTH.get(0) else { return id };
    let pid: u64 = read(task, &offset::TASK_THREAD_PID);
    let deepest: u32 = read(pid, &offset::PID_LEVEL);
    let number = pid + u64::from(offset::PID_NUMBERS.load()) + u64::from(*depth) * UPID;
    let namespace: u64 = read(number, &offset::UPID_NS);
    let inode: u32 = read(namespace, &offset::PIDNS_INUM);
    let local: u32 = read(number, &offset::UPID_NR);
    // All bits set if it is outside: another inode, or none so deep, where what was read is no number of this task.
    let outside = all_bits_unless_zero(inode ^ PID_NAMESPACE.load() | (deepest.wrapping_sub(*depth) & 1 << 31));
    local & !outside | (id | all_bits_unless_zero(id) & OUTSIDE) & outside
}

#[inline(always)]
const fn all_bits_unless_zero(number: u32) -> u32 {
    ((number | number.wrapping_neg()) >> 31).wrapping_neg()
}

/// A member of what is at `address`; zero where nothing is, or the kernel has no such member.
#[inline(always)]
fn read<T: Copy + Default>(address: u64, offset: &Offset) -> T {
    probe_read(address.wrapping_add(u64::from(offset.load())) as *const u8)
}
