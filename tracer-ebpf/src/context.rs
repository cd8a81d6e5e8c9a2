//! Whether the current task is at work, or was merely interrupted.
//!
//! An interrupt, and the softirq run at its end or by `local_bh_enable()`, has a per-CPU stack of its
//! own (x86: arch/x86/kernel/irq_64.c). So a program whose context lies within the task's stack runs on
//! the task's behalf.

use aya_ebpf::{
    helpers::{bpf_get_current_task, bpf_probe_read_kernel},
    macros::map,
    maps::PerCpuArray,
};
use tracer_ebpf::{layout::MISSING, record};

use crate::offset;

/// `THREAD_SIZE` of x86-64 and of arm64 with 4 KiB pages.
const THREAD_SIZE: u64 = 16 << 10;

/// Takes an address through memory, which makes it a number for the verifier: it allows no
/// arithmetic between a context pointer and an unknown scalar.
#[map]
static SCRATCH: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The context of a program whose `ctx` lies on the stack that the kernel runs on: raw tracepoints,
/// fentry, fexit, kprobes; not classic tracepoints.
#[inline(always)]
pub(crate) fn of(ctx: *const core::ffi::c_void) -> u8 {
    let offset = offset::TASK_STACK.load();
    if offset == MISSING {
        return record::CONTEXT_UNKNOWN;
    }
    let Some(slot) = SCRATCH.get_ptr_mut(0) else { return record::CONTEXT_UNKNOWN };
    // SAFETY: the slot is this CPU's own. A program that interrupts between the two writes an address
    // on its own stack and would make us say "interrupt" of the task; that needs two traced events
    // nested within two instructions.
    let here = unsafe {
        slot.write_volatile(ctx as u64);
        slot.read_volatile()
    };
    // SAFETY: a helper without preconditions.
    let task = unsafe { bpf_get_current_task() };
    // SAFETY: the helper copies with fault handling.
    match unsafe { bpf_probe_read_kernel((task + u64::from(offset)) as *const u64) } {
        Ok(stack) if here.wrapping_sub(stack) < THREAD_SIZE => record::CONTEXT_PROCESS,
        Ok(_) => record::CONTEXT_INTERRUPT,
        Err(_) => record::CONTEXT_UNKNOWN,
    }
}
