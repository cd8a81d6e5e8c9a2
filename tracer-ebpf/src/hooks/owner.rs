//! What changes whose a socket is, besides its own state changes.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _,
    macros::{fexit, kretprobe, raw_tracepoint},
    programs::{FExitContext, RawTracePointContext, RetProbeContext},
};

use tracer_ebpf::{
    criteria::{PID_EXITS, PID_RUNS},
    record::{CONTEXT_PROCESS, OWNER_LISTENED},
    room,
};

use crate::{
    announce, context, filter, memory, offset, pid, shortage,
    sock::{self, Object, Probed},
};

/// `raw_tp tcp_destroy_sock(struct sock *sk)`: nothing will be heard of this socket any more.
#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
pub(crate) fn socket_destroyed(ctx: RawTracePointContext) -> i32 {
    memory::forget(ctx.arg::<u64>(0));
    0
}

/// Repeats `socket_destroyed` for sockets that the kernel did not start that program for: a softirq that interrupts it
/// destroys another socket, whose entry would stay. It runs after the other, which cannot be interrupted any more then.
#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
pub(crate) fn socket_destroyed_again(ctx: RawTracePointContext) -> i32 {
    let sk = ctx.arg::<u64>(0);
    // Most often it is gone, and looking costs less than removing.
    if memory::at(sk).is_some() {
        memory::forget(sk);
    }
    0
}

/// `fexit inet_csk_accept(struct sock *sk, [int flags, int *err, bool kern | struct proto_accept_arg *arg])`:
/// the arguments changed in 6.10, the result did not
macro_rules! accept_fexit {
    ($name:ident, $arguments:expr) => {
        #[fexit]
        pub(crate) fn $name(ctx: FExitContext) -> i32 {
            accepted(ctx.arg($arguments));
            0
        }
    };
}
accept_fexit!(accepted2_fexit, 2);
accept_fexit!(accepted3_fexit, 3);
accept_fexit!(accepted4_fexit, 4);

/// `kretprobe inet_csk_accept`
#[kretprobe]
pub(crate) fn accepted_kretprobe(ctx: RetProbeContext) -> u32 {
    accepted(ctx.ret());
    0
}

/// `raw_tp tcp_rcv_space_adjust(struct sock *sk)`: a process takes data from a connection (tcp_recvmsg_locked in
/// net/ipv4/tcp.c), so that it is its own, if it was only known whose listener it came to
#[raw_tracepoint(tracepoint = "tcp_rcv_space_adjust")]
pub(crate) fn first_read(ctx: RawTracePointContext) -> i32 {
    let sk = ctx.arg::<u64>(0);
    if memory::at(sk).is_some_and(|entry| entry.owner.known == OWNER_LISTENED)
        && context::of(ctx.as_ptr()) == CONTEXT_PROCESS
    {
        accepted(sk);
    }
    0
}

/// The current task has accepted a connection, if it is not null.
#[inline(always)]
fn accepted(sk: u64) {
    let sk = Object::<Probed>::new(sk as *const u8);
    if let Some(entry) = memory::of(sk)
        && memory::adopt_by_current(entry)
        && filter::wants_ends(&sock::identity(sk))
    {
        announce::announce();
    }
}

/// `raw_tp sched_process_fork(struct task_struct *parent, struct task_struct *child)`
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub(crate) fn process_forked(ctx: RawTracePointContext) -> i32 {
    let process = |task: *const u8| pid::of_process(Object::<Probed>::new(task));
    let (parent, child) = (process(ctx.arg(0)), process(ctx.arg(1)));
    if parent == child {
        return 0;
    }
    if filter::FOLLOW_CHILDREN.load() != 0 && filter::contains!(filter::PIDS, parent) {
        if filter::PIDS.insert(child, PID_RUNS, 0).is_err() {
            shortage::count(room::PROCESSES, CONTEXT_PROCESS);
        }
    } else {
        // Who had this id before has ended, and is nobody's concern any more. Most often there is none.
        let _ = filter::PIDS.remove(child);
    }
    0
}

/// `raw_tp sched_process_exit(struct task_struct *p)`: before the descriptors are closed (do_exit in kernel/exit.c)
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub(crate) fn process_exited(ctx: RawTracePointContext) -> i32 {
    let task = Object::<Probed>::new(ctx.arg::<*const u8>(0));
    // Threads left in the process: this one has been taken off (do_exit in kernel/exit.c).
    let left: Option<u32> = task.follow(&offset::TASK_SIGNAL).and_then(|signal| signal.get(&offset::SIGNAL_LIVE));
    if left == Some(0)
        && let Some(process) = filter::PIDS.get_ptr_mut(pid::of_process(task))
    {
        // SAFETY: the map's memory.
        unsafe { *process = PID_EXITS };
    }
    0
}

/// Runs for each task, in the context of the tracer, which reads how deep its own pid namespace is.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn own_pid_namespace(_: *mut c_void) -> i32 {
    pid::learn_depth();
    0
}
