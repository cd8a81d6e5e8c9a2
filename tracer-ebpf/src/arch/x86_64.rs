//! x86-64.
//!
//! An interrupt that finds the CPU in the kernel, and the softirq run at its end or by `local_bh_enable()`, has a per-CPU
//! stack of its own (arch/x86/kernel/irq_64.c). So a program whose context lies on another stack than the task's runs on
//! an interrupt's behalf. One that found the CPU in user mode stays on the task's stack, which is empty then; but the
//! registers that it saved there say "no system call" (arch/x86/entry/entry_64.S).
//!
//! So do those of a task that came to the kernel by an exception, or that a signal ends on its way back to user mode.
//! What such a task does to sockets it does while it exits (`PF_EXITING`), and then it is in the kernel, where an
//! interrupt has a stack of its own.

use aya_ebpf::{bindings::pt_regs, macros::map, maps::PerCpuArray, programs::ProbeContext};
use tracer_ebpf::layout::MISSING;

use crate::{context, offset, sock};

/// `THREAD_SIZE` (arch/x86/include/asm/page_64_types.h): the size of a task's kernel stack, in bytes.
const THREAD_SIZE: u64 = 16 << 10;

/// What the compiler calls it.
pub(super) const NAME: &[u8; 6] = b"x86_64";

/// As wide as the member of `struct pt_regs` that has a system call's number.
pub(crate) type SystemCall = u64;

/// What that member has in interrupts and exceptions: "no syscall to restart" (arch/x86/entry/entry_64.S).
const NO_SYSTEM_CALL: SystemCall = SystemCall::MAX;

/// `execve` of arch/x86/entry/syscalls/syscall_64.tbl.
pub(crate) const EXECVE: SystemCall = 59;
/// `execveat` of the same table.
pub(crate) const EXECVEAT: SystemCall = 322;

/// Frames of a stack that reach from the probe to behind the timer wheel, see [`crate::emit::Depth`].
pub(crate) const FRAMES_TO_TIMER: usize = 12;
/// As far as the system call.
pub(crate) const FRAMES_TO_CALL: usize = 10;
/// As far as TCP goes.
pub(crate) const FRAMES_TO_PACKET: usize = 8;

/// Takes an address through memory, which makes it a number for the verifier: it allows no
/// arithmetic between a context pointer and an unknown scalar.
#[map]
static SCRATCH: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Where a program runs.
pub(crate) struct Whereabouts {
    /// An address on the stack that the kernel runs on.
    here: u64,
    /// The current task's stack.
    stack: u64,
}

impl Whereabouts {
    /// Of a program with this context; `None` if this kernel does not tell.
    #[inline(always)]
    pub(crate) fn of(ctx: *const core::ffi::c_void) -> Option<Self> {
        let offset = offset::TASK_STACK.load();
        if offset == MISSING {
            return None;
        }
        let slot = SCRATCH.get_ptr_mut(0)?;
        // SAFETY: the slot is this CPU's own. A program that interrupts another one here leaves what that has written:
        // else it would read an address on the stack of the interrupt, take itself for that, and leave the event to its
        // twin, which knows better and leaves it, too.
        let here = unsafe {
            let of_interrupted = slot.read_volatile();
            slot.write_volatile(ctx as u64);
            let here = slot.read_volatile();
            slot.write_volatile(of_interrupted);
            here
        };
        Some(Self { here, stack: context::current_stack() })
    }

    /// It runs on an interrupt's behalf, which did not find the CPU in user mode.
    #[inline(always)]
    pub(crate) fn is_of_interrupt(&self) -> bool {
        self.here.wrapping_sub(self.stack) >= THREAD_SIZE
    }

    /// The current task, which does not exit, came to the kernel from user mode, but not by a system call.
    #[inline(always)]
    pub(crate) fn is_of_interrupt_in_user_mode(&self) -> bool {
        context::system_call(self.stack) == Some(NO_SYSTEM_CALL)
    }
}

/// The system call ends what descriptors refer to, or a connection itself (the same table): `close`, `dup2`, `shutdown`,
/// `dup3`, `io_uring_setup` (a thread of its making), `io_uring_enter`, `close_range`.
#[inline(always)]
pub(crate) const fn closes(system_call: SystemCall) -> bool {
    matches!(system_call, 3 | 33 | 48 | 292 | 425 | 426 | 436)
}

/// Where the registers are that a task saved when it came to the kernel, by the address of its stack. `task_pt_regs()` of
/// kernels before FRED: they end where the stack does.
#[inline(always)]
pub(crate) fn saved_registers(stack: u64) -> Option<u64> {
    Some(stack + THREAD_SIZE - size_of::<pt_regs>() as u64)
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

/// Who has called the function that a kprobe is at the beginning of, if the kernel leaves that out of a stack: it does not.
#[inline(always)]
pub(crate) const fn caller_left_out(_: &ProbeContext) -> Option<u64> {
    None
}
