//! The task that is at work, and what it is.

use aya_ebpf::{
    bindings::task_struct,
    helpers::{bpf_get_current_task, bpf_get_current_task_btf},
};

use crate::{
    features, offset,
    sock::{Access, Address, Object, Probed, Typed},
};

/// The task that runs on this CPU.
#[inline(always)]
pub(crate) fn current() -> Object<Probed> {
    // SAFETY: a helper without preconditions.
    let task: *const task_struct = unsafe { bpf_get_current_task() } as *const task_struct;
    Object::new(task.cast())
}

/// The current task as an object that the verifier knows, where a helper gives it (5.11 and later; asked for with
/// another one of 5.15): each of its members is a load, and not a call.
#[inline(always)]
pub(crate) fn current_typed() -> Option<Object<Typed>> {
    if features::TASK_REGS_HELPER.load() == 0 {
        return None;
    }
    // SAFETY: a helper without preconditions.
    Some(Object::new(unsafe { bpf_get_current_task_btf() }.cast_const().cast()))
}

/// Of a task's flags (include/linux/sched.h): it is a kernel thread.
pub(crate) const PF_KTHREAD: u32 = 0x20_0000;
/// Of a task's flags: it is on its way out, and closes what it has open.
pub(crate) const PF_EXITING: u32 = 4;

/// The current kernel thread processes packets, or runs timers: `ksoftirqd/0`, `napi/eth0-5`, `backlog_napi/0` (6.10
/// and later), `ktimers/0` (PREEMPT_RT). Nobody but the kernel names its threads.
#[inline(always)]
pub(crate) fn runs_softirqs() -> bool {
    let name = match current_typed() {
        Some(task) => task.get::<u32>(&offset::TASK_COMM),
        None => current().get::<u32>(&offset::TASK_COMM),
    };
    let name = name.unwrap_or(0).to_ne_bytes();
    name == *b"ksof" || name == *b"napi" || name == *b"back" || name == *b"ktim"
}

/// The current task's flags.
#[inline(always)]
pub(crate) fn current_flags() -> u32 {
    let flags = match current_typed() {
        Some(task) => task.get(&offset::TASK_FLAGS),
        None => current().get(&offset::TASK_FLAGS),
    };
    flags.unwrap_or(0)
}

/// The current task's flags, and its exit code.
#[inline(always)]
pub(crate) fn current_exit() -> (u32, u32) {
    let exit_code = match current_typed() {
        Some(task) => task.get(&offset::TASK_EXIT_CODE),
        None => current().get(&offset::TASK_EXIT_CODE),
    };
    (current_flags(), exit_code.unwrap_or(0))
}

/// The signal that ends the current task, or 0.
#[inline(always)]
pub(crate) fn signal() -> u8 {
    let (flags, exit_code) = current_exit();
    if flags & PF_EXITING == 0 { 0 } else { exit_code as u8 & 0x7f }
}

/// The name of the task's first thread, which is the process's.
#[inline(always)]
pub(crate) fn leaders_comm(task: Object<Probed>) -> Address {
    name(task.follow(&offset::TASK_LEADER).unwrap_or(task))
}

/// The task's name, with zeros behind its end: before 5.17 a shorter name leaves there what was longer of the one
/// before (`__set_task_comm` in fs/exec.c).
#[inline(always)]
pub(crate) fn name<A: Access>(task: Object<A>) -> Address {
    let [first, second] = task.get_pair(&offset::TASK_COMM);
    // Without branches, of which the verifier would walk each.
    let (end_first, end_second) = (end_of_name(first), end_of_name(second));
    let goes_on = ((end_first | end_first.wrapping_neg()) >> 63).wrapping_sub(1);
    [first & up_to(end_first), second & up_to(end_second) & goes_on]
}

/// The highest bit of the first byte that is zero (in memory: the lowest one), and maybe of later ones; 0 if none is.
#[inline(always)]
const fn end_of_name(word: u64) -> u64 {
    const LOWEST: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = 0x8080_8080_8080_8080;
    word.wrapping_sub(LOWEST) & !word & HIGHEST
}

/// All bits up to the lowest one of these; all if there is none.
#[inline(always)]
const fn up_to(bits: u64) -> u64 {
    bits ^ bits.wrapping_sub(1)
}
