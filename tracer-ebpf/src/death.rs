//! How a process ends: by which signal, sent by whom, or by the OOM killer.

use aya_ebpf::{macros::map, maps::LruHashMap};
use tracer_ebpf::record::{CONTEXT_PROCESS, KIND_END, ProcessEnd};

use crate::{
    announced, emit, filter, offset, pid, process,
    sock::{Address, Object, Probed, bytes},
    task,
};

/// Who sent a signal that may end a process.
#[derive(Clone, Copy)]
#[repr(C)]
struct Sender {
    /// `CLOCK_MONOTONIC`, as the start of a task.
    at: u64,
    pid: u32,
    uid: u32,
    comm: Address,
}

/// Senders by process and signal, see [`key`]. What came last is kept.
#[map]
static SENDERS: LruHashMap<u64, Sender> = LruHashMap::with_max_entries(2048, 0);

/// The lowest bits of an exit code: the signal (wait(2)).
const SIGNAL: u32 = 0x7f;

#[inline(always)]
const fn key(process: u32, signal: u32) -> u64 {
    (process as u64) << 8 | signal as u64
}

/// The signal ends a process that does not handle it (signal(7)): not SIGCHLD, SIGCONT, SIGURG, SIGWINCH, nor one that
/// stops it. Real-time signals are left out.
#[inline(always)]
pub(crate) const fn may_end(signal: i32) -> bool {
    const OTHERS: u32 = 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 28;
    signal > 0 && signal < 32 && OTHERS >> (signal & 31) & 1 == 0
}

/// The current task sends a signal to another, unless the kernel does: `info` tells.
#[inline(always)]
pub(crate) fn sent(signal: u32, info: u64, to: Object<Probed>) {
    /// `SEND_SIG_NOINFO` and `SEND_SIG_PRIV` (include/linux/sched/signal.h): no addresses.
    const FROM_A_PROCESS: u64 = 0;
    const FROM_THE_KERNEL: u64 = 1;
    /// `si_code` of kill(2), sigqueue(3) and tgkill(2) (include/uapi/asm-generic/siginfo.h).
    const SI_USER: i32 = 0;
    const SI_QUEUE: i32 = -1;
    const SI_TKILL: i32 = -6;
    const SIGKILL: u32 = 9;

    let code = match info {
        FROM_A_PROCESS => SI_USER,
        FROM_THE_KERNEL => return,
        info => match Object::<Probed>::new(info as *const u8).get::<i32>(&offset::SIGINFO_CODE) {
            Some(code) => code,
            None => return,
        },
    };
    if code != SI_USER && code != SI_QUEUE && code != SI_TKILL {
        return;
    }
    let key = key(pid::of_process(to), signal);
    // The first SIGKILL is the one that kills; of others the last may be the one that is not handled.
    // SAFETY: the entry is only compared; another CPU may replace it.
    let first = unsafe { SENDERS.get(key) };
    if signal == SIGKILL && first.is_some_and(|sender| sender.at >= started(to)) {
        return;
    }
    let task = task::current();
    let sender = Sender {
        at: emit::now(),
        pid: pid::of_process(task),
        uid: task.follow(&offset::TASK_CRED).and_then(|cred| cred.get(&offset::CRED_UID)).unwrap_or(u32::MAX),
        comm: task::leaders_comm(task),
    };
    // A full map forgets the oldest.
    let _ = SENDERS.insert(key, sender, 0);
}

/// When a task's process started, on `CLOCK_MONOTONIC`.
#[inline(always)]
fn started(task: Object<Probed>) -> u64 {
    task.follow(&offset::TASK_LEADER).and_then(|leader| leader.get(&offset::TASK_START)).unwrap_or(0)
}

/// Reports how the current task's process ends, if it does, and not only this thread, and if it was reported to own
/// sockets.
#[inline(always)]
pub(crate) fn announce_known(process: u32) {
    if filter::reports(KIND_END) && announced::is_announced(process) && ends() {
        announce_end(process);
    }
}

/// The current task's process ends: all of its threads were told to, or this is the last one.
#[inline(always)]
pub(crate) fn ends() -> bool {
    /// `SIGNAL_GROUP_EXIT` (include/linux/sched/signal.h).
    const GROUP_EXIT: u32 = 4;
    let Some(signal) = task::current().follow(&offset::TASK_SIGNAL) else { return false };
    signal.get::<u32>(&offset::SIGNAL_FLAGS).unwrap_or(0) & GROUP_EXIT != 0
        || signal.get::<u32>(&offset::SIGNAL_LIVE) == Some(0)
}

/// Reports how the current task's process ends. It returns 0.
///
/// A function that the verifier verifies by itself, once: see [`crate::inquiry`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn announce_end(process: u32) -> u32 {
    let task = task::current();
    let code: u32 = task.get(&offset::TASK_EXIT_CODE).unwrap_or(0);
    let signal = task.follow(&offset::TASK_SIGNAL);
    let oom: u64 = signal.and_then(|signal| signal.get(&offset::SIGNAL_OOM_MM)).unwrap_or(0);
    // SAFETY: it is copied at once; one that is replaced meanwhile is a sender, too.
    let sender = unsafe { SENDERS.get(key(process, code & SIGNAL)) };
    let sender = sender.filter(|sender| code & SIGNAL != 0 && sender.at >= started(task));
    let delivered = emit::submit(KIND_END, CONTEXT_PROCESS, |record: *mut ProcessEnd| {
        // SAFETY: `record` is reserved memory of that type; all of it is written here.
        unsafe {
            let size = size_of::<ProcessEnd>();
            emit::write_header(&raw mut (*record).header, KIND_END, size, emit::now(), 0, CONTEXT_PROCESS);
            process::write_caller(&raw mut (*record).header.owner);
            (&raw mut (*record).exit_code).write(code);
            (&raw mut (*record).oom).write(u8::from(oom != 0));
            (&raw mut (*record).is_sent).write(u8::from(sender.is_some()));
            (&raw mut (*record).reserved).write([0; 2]);
            (&raw mut (*record).sender_pid).write(sender.map_or(0, |sender| sender.pid));
            (&raw mut (*record).sender_uid).write(sender.map_or(u32::MAX, |sender| sender.uid));
            (&raw mut (*record).sender_comm).write(sender.map_or([0; 16], |sender| bytes(sender.comm)));
        }
    });
    if delivered {
        announced::ended(process);
    }
    0
}
