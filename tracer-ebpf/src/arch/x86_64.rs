//! x86-64.

use aya_ebpf::{bindings::pt_regs, programs::ProbeContext};

use crate::sock;

/// `THREAD_SIZE` (arch/x86/include/asm/page_64_types.h): the size of a task's kernel stack, in bytes. Interrupts, and
/// softirqs at their end or after `local_bh_enable()`, have stacks of their own (arch/x86/kernel/irq_64.c), unless they
/// found the CPU in user mode.
pub(crate) const THREAD_SIZE: u64 = 16 << 10;

/// What the member of `struct pt_regs` for the system call has in interrupts and exceptions: "no syscall to restart"
/// (arch/x86/entry/entry_64.S).
pub(crate) const NO_SYSCALL: u64 = u64::MAX;

/// `execve` of arch/x86/entry/syscalls/syscall_64.tbl.
pub(crate) const EXECVE: u64 = 59;
/// `execveat` of the same table.
pub(crate) const EXECVEAT: u64 = 322;

/// The system call ends what descriptors refer to, or a connection itself (the same table): `close`, `dup2`, `shutdown`,
/// `dup3`, `io_uring_setup` (a thread of its making), `io_uring_enter`, `close_range`.
#[inline(always)]
pub(crate) const fn closes(system_call: u64) -> bool {
    matches!(system_call, 3 | 33 | 48 | 292 | 425 | 426 | 436)
}

/// Where the registers are that a task saved when it came to the kernel, by the address of its stack. `task_pt_regs()` of
/// kernels before FRED: they end where the stack does.
#[inline(always)]
pub(crate) fn saved_registers(stack: u64) -> u64 {
    stack + THREAD_SIZE - size_of::<pt_regs>() as u64
}

/// Argument `n` of the function that a kprobe is at the beginning of, counted from 0. The seventh and later ones are on
/// the stack, behind the return address.
#[inline(always)]
pub(crate) fn argument(ctx: &ProbeContext, n: usize) -> Option<u64> {
    if n >= 6 {
        // SAFETY: the context of a kprobe is a valid `pt_regs`.
        let stack = unsafe { (*ctx.regs).rsp } + 8 * (n as u64 - 5);
        return Some(sock::probe_read(stack as *const u8));
    }
    ctx.arg(n)
}
