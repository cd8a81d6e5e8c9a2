//! Processes: who a task is, and what it runs, taken at the time because it may soon be gone.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::task_struct,
    helpers::{
        bpf_get_current_task, bpf_get_current_task_btf,
        generated::{bpf_probe_read_kernel, bpf_probe_read_user},
    },
    macros::map,
    maps::LruHashMap,
};
use tracer_ebpf::record::{ANCESTORS, ARGUMENTS, CONTEXT_PROCESS, KIND_PROCESS, OWNER_ACTED, Owner, Process};

use crate::{
    context, death, emit, filter, offset, pid,
    sock::{Access, Address, Object, Probed, Typed, bytes},
    word_copy,
};

/// Processes that were reported: what they ran at that time, by process id; and [`ENDED`], if it was reported that
/// they end.
#[map]
static PROCESSES: LruHashMap<u32, u64> = LruHashMap::with_max_entries(8192, 0);

/// The process ends, and that was reported. A start in nanoseconds does not reach this bit for 292 years.
const ENDED: u64 = 1 << 63;

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
    if context::TASK_REGS_HELPER.load() == 0 {
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
        comm: bytes(name(actor(task))),
    }
}

/// The task whose name names what a task does: its own, but on the way out, when it is chance which thread closes what
/// the process had open.
#[inline(always)]
fn actor<A: Access>(task: Object<A>) -> Object<A> {
    let exits = task.get::<u32>(&offset::TASK_FLAGS).unwrap_or(0) & PF_EXITING != 0;
    if exits { task.follow(&offset::TASK_LEADER).unwrap_or(task) } else { task }
}

/// The name of the task's first thread, which is the process's.
#[inline(always)]
pub(crate) fn leaders_comm(task: Object<Probed>) -> Address {
    name(task.follow(&offset::TASK_LEADER).unwrap_or(task))
}

/// The task's name, with zeros behind its end: before 5.17 a shorter name leaves there what was longer of the one
/// before (`__set_task_comm` in fs/exec.c).
#[inline(always)]
fn name<A: Access>(task: Object<A>) -> Address {
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

/// The process was reported, and not yet that it ends.
#[inline(always)]
pub(crate) fn is_announced(process: u32) -> bool {
    // SAFETY: a plain number.
    unsafe { PROCESSES.get(process) }.is_some_and(|program| program & ENDED == 0)
}

/// It was reported that the process ends.
#[inline(always)]
pub(crate) fn ended(process: u32) {
    if let Some(program) = PROCESSES.get_ptr_mut(process) {
        // SAFETY: the map's memory, and a plain number.
        unsafe { *program |= ENDED };
    }
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
    let owner = match current_typed() {
        Some(task) => owner(task, OWNER_ACTED),
        None => owner(current(), OWNER_ACTED),
    };
    // SAFETY: the caller's.
    unsafe { word_copy::copy(to, &owner) };
}

/// What the current task runs: start and number of its exec together name one program in one process.
#[inline(always)]
fn program<A: Access>(task: Object<A>) -> Option<u64> {
    let leader = task.follow(&offset::TASK_LEADER)?;
    let start: u64 = leader.get(&offset::TASK_START).unwrap_or(0);
    // It grows with each exec.
    Some(start.wrapping_add(u64::from(leader.get::<u32>(&offset::TASK_EXEC_ID).unwrap_or(0))))
}

/// Reports the process of the current task, if it was not yet; and how it ends, if its first work on a socket is when
/// it does.
///
/// One after the other, from here: a function that is called by the other one would need the stack of both.
#[inline(always)]
pub(crate) fn announce() {
    if filter::reports(KIND_PROCESS) && announce_process() != 0 && current_flags() & PF_EXITING != 0 {
        death::announce_known(pid::of_process(current()));
    }
}

/// Reports the process of the current task, if it was not yet: 1 then, else 0.
///
/// A function that the verifier verifies by itself, once: see [`crate::inquiry`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn announce_process() -> u32 {
    let program = match current_typed() {
        Some(task) => program(task),
        None => program(current()),
    };
    let Some(program) = program else { return 0 };
    let task = current();
    let process = pid::of_process(task);
    // SAFETY: a plain number; another CPU may replace it by the same.
    if unsafe { PROCESSES.get(process) }.is_some_and(|known| known & !ENDED == program) {
        return 0;
    }
    let delivered = emit::submit(KIND_PROCESS, CONTEXT_PROCESS, |record: *mut Process| {
        // SAFETY: `record` is reserved memory of that type; all of it is written here.
        unsafe {
            let size = size_of::<Process>();
            emit::write_header(&raw mut (*record).header, KIND_PROCESS, size, emit::now(), 0, CONTEXT_PROCESS);
            write_caller(&raw mut (*record).header.owner);
            (&raw mut (*record).ancestors).write(ancestors(task));
            let length = arguments(task, &raw mut (*record).arguments);
            (&raw mut (*record).length).write(length);
            (&raw mut (*record).reserved).write(0);
        }
    });
    if delivered {
        let _ = PROCESSES.insert(process, program, 0);
    }
    1
}

#[inline(always)]
fn ancestors(task: Object<Probed>) -> [u32; ANCESTORS] {
    let mut ids = [0; ANCESTORS];
    let mut parent = task.follow(&offset::TASK_PARENT);
    for id in &mut ids {
        let Some(current) = parent else { break };
        *id = pid::of_process(current);
        // The first task is its own parent.
        parent = if *id == 0 { None } else { current.follow(&offset::TASK_PARENT) };
    }
    ids
}

/// Reads the current task's arguments; the result is how long they are, which may be more than there is room for.
///
/// # Safety
/// `buffer` must be writable, and `task` the current one.
#[inline(always)]
unsafe fn arguments(task: Object<Probed>, buffer: *mut [u8; ARGUMENTS]) -> u32 {
    // SAFETY: the caller's buffer; a read that fails clears it, in one call where a loop would be walked through.
    unsafe { bpf_probe_read_kernel(buffer.cast(), ARGUMENTS as u32, core::ptr::null()) };
    let Some(mm) = task.follow(&offset::TASK_MM) else { return 0 };
    let (Some(start), Some(end)) = (mm.get::<u64>(&offset::MM_ARG_START), mm.get::<u64>(&offset::MM_ARG_END)) else {
        return 0;
    };
    let length = end.wrapping_sub(start);
    // Masked, not compared: the verifier must see that it fits.
    let kept = if length >= ARGUMENTS as u64 { ARGUMENTS as u64 - 1 } else { length & (ARGUMENTS as u64 - 1) };
    // SAFETY: the buffer is longer than `kept`; the helper checks the user's memory.
    let result = unsafe { bpf_probe_read_user(buffer.cast(), kept as u32, start as *const _) };
    if result == 0 { length as u32 } else { 0 }
}
