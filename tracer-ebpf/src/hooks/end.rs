//! How processes end that own sockets, and who sent the signal that ended them.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{
    death, pid,
    sock::{Object, Probed},
};

/// `raw_tp sched_process_exit(struct task_struct *p)`, 6.16 and later `(p, bool group_dead)`: before the task's
/// descriptors are closed (do_exit in kernel/exit.c).
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub(crate) fn process_ends(ctx: RawTracePointContext) -> i32 {
    let task = Object::<Probed>::new(ctx.arg::<*const u8>(0));
    death::announce_known(pid::of_process(task));
    0
}

/// `raw_tp signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *p, int group, int result)`
#[raw_tracepoint(tracepoint = "signal_generate")]
pub(crate) fn signal_sent(ctx: RawTracePointContext) -> i32 {
    /// `TRACE_SIGNAL_DELIVERED` (include/trace/events/signal.h): the process gets it.
    const DELIVERED: i32 = 0;
    let (signal, result) = (ctx.arg::<i32>(0), ctx.arg::<i32>(4));
    if result == DELIVERED && death::may_end(signal) {
        death::sent(signal as u32, ctx.arg(1), Object::new(ctx.arg::<*const u8>(2)));
    }
    0
}
