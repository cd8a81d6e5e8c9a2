//! What the CPU was doing, from the program's own guess and the kernel stack.

use tracer_ebpf::record::{CONTEXT_INTERRUPT, CONTEXT_KERNEL_THREAD, CONTEXT_PROCESS};

use crate::event::Context;

/// Functions that run a kernel timer's callback (kernel/time/timer.c, kernel/time/hrtimer.c).
const TIMERS: [&str; 5] =
    ["call_timer_fn", "expire_timers", "__run_timers", "run_timer_softirq", "__hrtimer_run_queues"];
/// Functions that run softirqs; the second replaced the first in 6.9 (kernel/softirq.c).
const SOFTIRQS: [&str; 2] = ["__do_softirq", "handle_softirqs"];
/// Functions that a task runs by itself: its system calls (on x86-64, on arm64: a recording may be of either), what it puts
/// off until it goes back to user mode, its end.
const OF_PROCESS: [&str; 6] =
    ["do_syscall_64", "entry_SYSCALL_64_after_hwframe", "el0_svc", "do_el0_svc", "task_work_run", "do_exit"];
/// The outermost function of a kernel thread (kernel/kthread.c).
const OF_KERNEL_THREAD: &str = "kthread";

/// `program`: one of the record's `CONTEXT_` constants. `stack`: names of the functions on it, innermost
/// first, empty if there is none. The stack knows best: a kernel may run softirqs on a task's stack
/// (ksoftirqd, PREEMPT_RT).
pub(super) fn of(program: u8, comm: &str, stack: &[String]) -> Context {
    let on_stack = |names: &[&str]| stack.iter().any(|frame| names.contains(&frame.as_str()));
    if on_stack(&TIMERS) {
        return Context::Timer;
    }
    if on_stack(&SOFTIRQS) || comm.starts_with("ksoftirqd/") {
        return Context::Softirq;
    }
    match program {
        CONTEXT_PROCESS => Context::Process,
        CONTEXT_KERNEL_THREAD => Context::KernelThread,
        _ if on_stack(&[OF_KERNEL_THREAD]) => Context::KernelThread,
        // A task that came to the kernel by an exception, or an interrupt, may do its own work on the way back.
        _ if on_stack(&OF_PROCESS) => Context::Process,
        CONTEXT_INTERRUPT => Context::Softirq,
        _ => Context::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::record::CONTEXT_UNKNOWN;

    use super::*;

    fn of_stack(program: u8, stack: &[&str]) -> Context {
        of(program, "nginx", &stack.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_timer_is_told_from_a_packet_by_the_stack() {
        let timer = ["tcp_write_timer", "call_timer_fn", "run_timer_softirq", "handle_softirqs"];
        assert_eq!(of_stack(CONTEXT_INTERRUPT, &timer), Context::Timer);
        assert_eq!(of_stack(CONTEXT_INTERRUPT, &["tcp_v4_rcv", "handle_softirqs"]), Context::Softirq);
        assert_eq!(of_stack(CONTEXT_INTERRUPT, &[]), Context::Softirq);
    }

    #[test]
    fn softirqs_on_a_task_stack_are_still_softirqs() {
        assert_eq!(of_stack(CONTEXT_PROCESS, &["tcp_v4_rcv", "__do_softirq", "ret_from_fork"]), Context::Softirq);
        assert_eq!(of(CONTEXT_PROCESS, "ksoftirqd/0", &[]), Context::Softirq);
    }

    #[test]
    fn without_a_guess_only_the_bottom_of_a_stack_proves_a_process() {
        assert_eq!(of_stack(CONTEXT_UNKNOWN, &["tcp_close", "do_syscall_64"]), Context::Process);
        assert_eq!(of_stack(CONTEXT_UNKNOWN, &["tcp_close", "do_el0_svc"]), Context::Process);
        assert_eq!(of_stack(CONTEXT_UNKNOWN, &["tcp_close"]), Context::Unknown);
        assert_eq!(of_stack(CONTEXT_UNKNOWN, &["tcp_close", "worker_thread", "kthread"]), Context::KernelThread);
        assert_eq!(of_stack(CONTEXT_UNKNOWN, &["tcp_close", "task_work_run", "do_exit"]), Context::Process);
    }

    #[test]
    fn a_worker_is_neither_a_process_nor_a_softirq() {
        assert_eq!(of_stack(CONTEXT_KERNEL_THREAD, &["tcp_close", "delayed_fput", "kthread"]), Context::KernelThread);
        assert_eq!(of_stack(CONTEXT_KERNEL_THREAD, &[]), Context::KernelThread);
        assert_eq!(of_stack(CONTEXT_KERNEL_THREAD, &["tcp_v4_rcv", "__do_softirq"]), Context::Softirq);
        assert_eq!(of_stack(CONTEXT_INTERRUPT, &["tcp_close", "task_work_run"]), Context::Process, "io_uring");
    }
}
