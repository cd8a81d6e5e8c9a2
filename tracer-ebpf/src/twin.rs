//! Which of two programs at the same hook an event is for.
//!
//! The kernel does not start a program on a CPU that already runs it. So what happens in a softirq that interrupts the
//! program of another event would be missed, and so would the events of another task, where the kernel takes the CPU
//! away from a program's: at tracepoints since 7.0 (`__DECLARE_TRACE` in include/linux/tracepoint.h), in trampolines
//! since 5.12 (`__bpf_prog_enter` in kernel/bpf/trampoline.c). So where that matters a hook has two programs, the first
//! one and its twin. What interrupts is the twin's; the rest is the first one's, and the twin's, if the kernel did not
//! start the first one for it. It knows by the task's mark.
//!
//! The kernel starts the first one first: at a tracepoint in the order in which they are attached (`func_add` in
//! kernel/tracepoint.c), in a trampoline the other way round (`bpf_trampoline_add_prog` in kernel/bpf/trampoline.c).
//!
//! The first one cannot be a few lines that call the twin by `bpf_tail_call`, though the kernel allows it: since 6.13 a
//! program may have one stack for each CPU (`bpf_int_jit_compile` in arch/x86/net/bpf_jit_comp.c), because it is not
//! started twice; entered by a call in the middle of itself it overwrites that stack, and the kernel crashes.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::map, maps::Array};
use tracer_ebpf::record::{CONTEXT_INTERRUPT, RST_STRAY};

use crate::context;

const MARKS: u32 = 1 << 10;

/// That the first program was started for the event that a task is in, by the lower bits of the task's id: that id, or 0.
/// Two tasks whose bits are alike spoil each other's mark only if the one is preempted between two programs.
#[map]
static MARK: Array<u32> = Array::with_max_entries(MARKS, 0);

/// An event that is for this program.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    /// One of the `CONTEXT_` constants.
    pub(crate) context: u8,
    /// Which of two slots of the CPU's memory is this program's own.
    pub(crate) slot: u32,
}

impl Taken {
    /// By a program without a twin.
    #[inline(always)]
    pub(crate) fn alone(context: u8) -> Self {
        Self { context, slot: context::slot(context) }
    }
}

/// The event, in this context, if it is for the program that asks: the twin, if `is_twin`.
#[inline(always)]
pub(crate) fn take(context: u8, is_twin: bool) -> Option<Taken> {
    let is_ours = if context == CONTEXT_INTERRUPT { is_twin } else { is_twin != is_first_started(is_twin) };
    is_ours.then_some(Taken { context, slot: is_twin.into() })
}

/// Whether the kernel started the first program for this event, which it is if it asks.
#[inline(always)]
fn is_first_started(is_twin: bool) -> bool {
    // The lower half is the task's id, and 0 that of each CPU's idle task, which interrupts only find.
    let task = bpf_get_current_pid_tgid() as u32;
    let Some(mark) = MARK.get_ptr_mut(task & (MARKS - 1)) else { return true };
    // SAFETY: the map's memory, which other tasks write only as said there.
    unsafe {
        if is_twin {
            let is_marked = mark.read_volatile() == task;
            mark.write_volatile(0);
            is_marked
        } else {
            mark.write_volatile(task);
            true
        }
    }
}

/// For each direction of a RST the slot of a program and of its twin.
pub(crate) const SLOTS: u32 = 2 * (RST_STRAY as u32 + 1);

/// The slot of the programs that report RSTs of a direction, of the one or (1) of its twin: a task may be preempted in the
/// midst of one of them, and another one run then, but never the same.
#[inline(always)]
pub(crate) const fn slot(direction: u8, of_two: u32) -> u32 {
    2 * direction as u32 + of_two
}
