//! Who is at work: the current task, a kernel thread on somebody's behalf, or an interrupt that found the CPU there.
//!
//! How an interrupt is told from the task that it found is the processor's, see [`arch::Whereabouts`].

use aya_ebpf::helpers::{bpf_get_current_task_btf, bpf_task_pt_regs};
use tracer_ebpf::{layout::MISSING, record};

use crate::{
    arch, features, offset,
    sock::{Access, Typed, probe_read},
    task, verifier,
};

/// The context of a program whose `ctx` lies on the stack that the kernel runs on: raw tracepoints,
/// fentry, fexit, kprobes; not classic tracepoints.
#[inline(always)]
pub(crate) fn of(ctx: *const core::ffi::c_void) -> u8 {
    verifier::hide_value(find_out(ctx).into()) as u8
}

#[inline(always)]
fn find_out(ctx: *const core::ffi::c_void) -> u8 {
    let Some(here) = arch::Whereabouts::of(ctx) else { return record::CONTEXT_UNKNOWN };
    let flags = task::current_flags();
    if here.is_of_interrupt() {
        record::CONTEXT_INTERRUPT
    } else if flags & task::PF_KTHREAD != 0 {
        if task::runs_softirqs() { record::CONTEXT_INTERRUPT } else { record::CONTEXT_KERNEL_THREAD }
    } else if flags & task::PF_EXITING == 0 && here.is_of_interrupt_in_user_mode() {
        record::CONTEXT_INTERRUPT
    } else {
        record::CONTEXT_PROCESS
    }
}

/// Where the current task's stack is, 0 if unknown.
#[inline(always)]
pub(crate) fn current_stack() -> u64 {
    match task::current_typed() {
        Some(task) => task.get(&offset::TASK_STACK),
        None => task::current().get(&offset::TASK_STACK),
    }
    .unwrap_or(0)
}

/// The current task, a process's, starts another program: what it closes now was to be closed by that (`FD_CLOEXEC`).
#[inline(always)]
pub(crate) fn execs() -> bool {
    matches!(system_call(current_stack()), Some(arch::EXECVE | arch::EXECVEAT))
}

/// The current task, a process's, closes what it did not ask to be closed.
///
/// Who looks at another process's descriptors (proc_readfd_common in fs/proc/fd.c, kernel/bpf/task_iter.c) has a reference
/// to each file for a moment; if the owner closes it just then, the last reference is that one, and what close() had to
/// do is done where it ends (`fput`). And who starts another program closes what is to be closed then (`FD_CLOEXEC`),
/// often what a parent has opened, and has that program's name already.
#[inline(always)]
pub(crate) fn closes_by_chance() -> bool {
    if task::current_flags() & task::PF_EXITING != 0 {
        return false;
    }
    system_call(current_stack()).is_some_and(|number| !arch::closes(number))
}

/// The number of the system call that the current task, whose stack is there, makes.
#[inline(always)]
pub(crate) fn system_call(stack: u64) -> Option<arch::SystemCall> {
    let offset = offset::REGS_SYSTEM_CALL.load();
    if offset == MISSING || stack == 0 {
        return None;
    }
    Some(if features::TASK_REGS_HELPER.load() != 0 {
        // SAFETY: the helpers have no preconditions but the type that the one hands to the other.
        let registers = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as *const u8;
        // SAFETY: a member of the `struct pt_regs` that the verifier knows this pointer to be.
        unsafe { Typed::read::<arch::SystemCall>(registers.wrapping_add(offset as usize)) }
    } else {
        probe_read((arch::saved_registers(stack)? + u64::from(offset)) as *const u8)
    })
}

/// Which of two slots of a CPU's memory a program uses in this context: what interrupts another must not use the same.
#[inline(always)]
pub(crate) const fn slot(context: u8) -> u32 {
    (context == record::CONTEXT_INTERRUPT) as u32
}
