//! Reports processes that own sockets: who they are and what they run, because they may soon be gone.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use tracer_ebpf::record::{ANCESTORS, ARGUMENTS, CONTEXT_PROCESS, KIND_PROCESS, Process};

use crate::{
    announced, death, emit, filter, offset, pid, process,
    sock::{Access, Object, Probed},
    task,
};

/// What the current task runs: start and number of its exec together name one program in one process.
#[inline(always)]
fn program<A: Access>(task: Object<A>) -> Option<u64> {
    let leader = task.follow(&offset::TASK_LEADER)?;
    let start: u64 = leader.get(&offset::TASK_START).unwrap_or(0);
    // It grows with each exec.
    Some(start.wrapping_add(u64::from(leader.get::<u32>(&offset::TASK_EXEC_ID).unwrap_or(0))))
}

/// Reports the process of the task::current task, if it was not yet; and how it ends, if its first work on a socket is when
/// it does.
///
/// One after the other, from here: a function that is called by the other one would need the stack of both.
#[inline(always)]
pub(crate) fn announce() {
    if filter::reports(KIND_PROCESS) && announce_process() != 0 && task::current_flags() & task::PF_EXITING != 0 {
        death::announce_known(pid::of_process(task::current()));
    }
}

/// Reports the process of the task::current task, if it was not yet: 1 then, else 0.
///
/// A function that the verifier verifies by itself, once: see [`crate::inquiry`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn announce_process() -> u32 {
    let program = match task::current_typed() {
        Some(task) => program(task),
        None => program(task::current()),
    };
    let Some(program) = program else { return 0 };
    let task = task::current();
    let process = pid::of_process(task);
    if announced::program(process) == Some(program) {
        return 0;
    }
    let delivered = emit::submit(KIND_PROCESS, CONTEXT_PROCESS, |record: *mut Process| {
        // SAFETY: `record` is reserved memory of that type; all of it is written here.
        unsafe {
            let size = size_of::<Process>();
            emit::write_header(&raw mut (*record).header, KIND_PROCESS, size, emit::now(), 0, CONTEXT_PROCESS);
            process::write_caller(&raw mut (*record).header.owner);
            (&raw mut (*record).ancestors).write(ancestors(task));
            let length = arguments(task, &raw mut (*record).arguments);
            (&raw mut (*record).length).write(length);
            (&raw mut (*record).reserved).write(0);
        }
    });
    if delivered {
        announced::remember(process, program);
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

/// Reads the task::current task's arguments; the result is how long they are, which may be more than there is room for.
///
/// # Safety
/// `buffer` must be writable, and `task` the task::current one.
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
