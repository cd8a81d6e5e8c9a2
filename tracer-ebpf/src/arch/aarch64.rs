//! 64-bit Arm.
//!
//! A task has a count of its own of what keeps it from being preempted (`thread_info.preempt_count`,
//! arch/arm64/include/asm/preempt.h), and interrupts and softirqs count in the one of the task that they found. So it says
//! exactly what runs, whichever stack that is on: softirqs have one of their own only since 6.1.

use aya_ebpf::{Global, programs::ProbeContext};
use tracer_ebpf::layout::MISSING;

use crate::{offset, sock, task};

/// What the count has of softirqs that run, and not only are kept from that, of interrupts and of NMIs (`SOFTIRQ_OFFSET`,
/// `HARDIRQ_MASK`, `NMI_MASK` of include/linux/preempt.h).
const IN_INTERRUPT: u32 = 0x100 | 0xf_0000 | 0xf0_0000;

/// What the compiler calls it.
pub(super) const NAME: &[u8; 7] = b"aarch64";

/// As wide as the member of `struct pt_regs` that has a system call's number. Interrupts and exceptions have -1 there
/// (`NO_SYSCALL` of arch/arm64/include/asm/ptrace.h).
pub(crate) type SystemCall = i32;

/// `execve` of include/uapi/asm-generic/unistd.h.
pub(crate) const EXECVE: SystemCall = 221;
/// `execveat` of the same table.
pub(crate) const EXECVEAT: SystemCall = 281;

/// Frames of a stack that reach from the probe to behind the timer wheel, see [`crate::emit::Depth`]. The compiler inlines
/// less here than for x86-64, and a call through a pointer leaves more frames.
pub(crate) const FRAMES_TO_TIMER: usize = 18;
/// As far as the system call.
pub(crate) const FRAMES_TO_CALL: usize = 16;
/// As far as TCP goes.
pub(crate) const FRAMES_TO_PACKET: usize = 14;

/// The size of a task's kernel stack, in bytes.
#[unsafe(no_mangle)]
static STACK_SIZE: Global<u32> = Global::new(16 << 10);

/// The size of `struct pt_regs`, to which kernels add members at its end; [`MISSING`] if this kernel does not tell.
#[unsafe(no_mangle)]
static REGS_SIZE: Global<u32> = Global::new(MISSING);

/// Where a program runs.
pub(crate) struct Whereabouts {
    /// The current task's count.
    preempt_count: u32,
}

impl Whereabouts {
    /// Of a program with this context; `None` if this kernel does not tell.
    #[inline(always)]
    pub(crate) fn of(_: *const core::ffi::c_void) -> Option<Self> {
        let preempt_count = match task::current_typed() {
            Some(task) => task.get(&offset::TASK_PREEMPT_COUNT),
            None => task::current().get(&offset::TASK_PREEMPT_COUNT),
        };
        Some(Self { preempt_count: preempt_count? })
    }

    /// It runs on an interrupt's behalf.
    #[inline(always)]
    pub(crate) const fn is_of_interrupt(&self) -> bool {
        self.preempt_count & IN_INTERRUPT != 0
    }

    /// The same, of an interrupt that found the CPU in user mode: which is among the others.
    #[inline(always)]
    pub(crate) const fn is_of_interrupt_in_user_mode(&self) -> bool {
        false
    }
}

/// The system call ends what descriptors refer to, or a connection itself (the same table): `dup3`, `close`, `shutdown`,
/// `io_uring_setup` (a thread of its making), `io_uring_enter`, `close_range`.
#[inline(always)]
pub(crate) const fn closes(system_call: SystemCall) -> bool {
    matches!(system_call, 24 | 57 | 210 | 425 | 426 | 436)
}

/// Where the registers are that a task saved when it came to the kernel, by the address of its stack (`task_pt_regs()` of
/// arch/arm64/include/asm/processor.h): they end where the stack does.
#[inline(always)]
pub(crate) fn saved_registers(stack: u64) -> Option<u64> {
    let registers = REGS_SIZE.load();
    if registers == MISSING {
        return None;
    }
    Some(stack + u64::from(STACK_SIZE.load()) - u64::from(registers))
}

/// Argument `n` of the function that a kprobe is at the beginning of, counted from 0. The ninth and later ones are on the
/// stack.
#[inline(always)]
pub(crate) fn argument(ctx: &ProbeContext, n: usize) -> Option<u64> {
    if n >= 8 {
        // SAFETY: the context of a kprobe is a valid `pt_regs`, as far as programs may look at it.
        let stack = unsafe { (*ctx.regs).sp } + 8 * (n as u64 - 8);
        return Some(sock::probe_read(stack as *const u8));
    }
    ctx.arg(n)
}

/// Who has called the function that a kprobe is at the beginning of, which the kernel leaves out of a stack: there the
/// caller is in the link register only, and the kernel follows the frames in memory (arch/arm64/kernel/stacktrace.c).
#[inline(always)]
pub(crate) fn caller_left_out(ctx: &ProbeContext) -> Option<u64> {
    // SAFETY: as in `argument`.
    Some(unsafe { (*ctx.regs).regs[30] })
}
