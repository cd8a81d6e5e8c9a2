//! Who is at work: the current task, a kernel thread on somebody's behalf, or an interrupt that found the CPU there.
//!
//! An interrupt that finds the CPU in the kernel, and the softirq run at its end or by
//! `local_bh_enable()`, has a per-CPU stack of its own (x86: arch/x86/kernel/irq_64.c). So a program whose
//! context lies on another stack than the task's runs on an interrupt's behalf. One that found the CPU in
//! user mode stays on the task's stack, which is empty then; but the registers that it saved there say
//! "no system call" (arch/x86/entry/entry_64.S).
//!
//! So do those of a task that came to the kernel by an exception, or that a signal ends on its way back to user mode.
//! What such a task does to sockets it does while it exits (`PF_EXITING`), and then it is in the kernel, where an
//! interrupt has a stack of its own.

use aya_ebpf::{
    helpers::{bpf_get_current_task_btf, bpf_task_pt_regs},
    macros::map,
    maps::PerCpuArray,
};
use tracer_ebpf::{layout::MISSING, record};

use crate::{
    arch, features, offset,
    sock::{Access, Typed, probe_read},
    task, verifier,
};

/// Takes an address through memory, which makes it a number for the verifier: it allows no
/// arithmetic between a context pointer and an unknown scalar.
#[map]
static SCRATCH: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The context of a program whose `ctx` lies on the stack that the kernel runs on: raw tracepoints,
/// fentry, fexit, kprobes; not classic tracepoints.
#[inline(always)]
pub(crate) fn of(ctx: *const core::ffi::c_void) -> u8 {
    verifier::hide_value(find_out(ctx).into()) as u8
}

#[inline(always)]
fn find_out(ctx: *const core::ffi::c_void) -> u8 {
    let offset = offset::TASK_STACK.load();
    if offset == MISSING {
        return record::CONTEXT_UNKNOWN;
    }
    let Some(slot) = SCRATCH.get_ptr_mut(0) else { return record::CONTEXT_UNKNOWN };
    // SAFETY: the slot is this CPU's own. A program that interrupts another one here leaves what that has written: else
    // it would read an address on the stack of the interrupt, take itself for that, and leave the event to its twin,
    // which knows better and leaves it, too.
    let here = unsafe {
        let of_interrupted = slot.read_volatile();
        slot.write_volatile(ctx as u64);
        let here = slot.read_volatile();
        slot.write_volatile(of_interrupted);
        here
    };
    let stack = current_stack();
    let flags = task::current_flags();
    if here.wrapping_sub(stack) >= arch::THREAD_SIZE {
        record::CONTEXT_INTERRUPT
    } else if flags & task::PF_KTHREAD != 0 {
        if task::runs_softirqs() { record::CONTEXT_INTERRUPT } else { record::CONTEXT_KERNEL_THREAD }
    } else if flags & task::PF_EXITING == 0 && is_interrupted_in_user_mode(stack) {
        record::CONTEXT_INTERRUPT
    } else {
        record::CONTEXT_PROCESS
    }
}

/// Where the current task's stack is, 0 if unknown.
#[inline(always)]
fn current_stack() -> u64 {
    match task::current_typed() {
        Some(task) => task.get(&offset::TASK_STACK),
        None => task::current().get(&offset::TASK_STACK),
    }
    .unwrap_or(0)
}

/// The current task came to the kernel from user mode, but not by a system call.
#[inline(always)]
fn is_interrupted_in_user_mode(stack: u64) -> bool {
    system_call(stack) == Some(arch::NO_SYSCALL)
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
fn system_call(stack: u64) -> Option<u64> {
    let offset = offset::REGS_ORIG_AX.load();
    if offset == MISSING || stack == 0 {
        return None;
    }
    Some(if features::TASK_REGS_HELPER.load() != 0 {
        // SAFETY: the helpers have no preconditions but the type that the one hands to the other.
        let registers = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as *const u8;
        // SAFETY: a member of the `struct pt_regs` that the verifier knows this pointer to be.
        unsafe { Typed::read::<u64>(registers.wrapping_add(offset as usize)) }
    } else {
        probe_read((arch::saved_registers(stack) + u64::from(offset)) as *const u8)
    })
}

/// Which of two slots of a CPU's memory a program uses in this context: what interrupts another must not use the same.
#[inline(always)]
pub(crate) const fn slot(context: u8) -> u32 {
    (context == record::CONTEXT_INTERRUPT) as u32
}
