//! The system calls that are left to a process when all is set up: those that read, wait, and write to what is open.
//!
//! What is refused fails with EPERM, and does not kill: a C library may try something new, and live without it.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// What a process still does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It observes this host.
    Live {
        /// It makes further files.
        makes_files: bool,
        /// The process group that it passes signals on to, and whose terminal.
        command: Option<u32>,
    },
    /// It reads one file.
    Replay,
}

/// Cannot be put into force.
pub(super) type Error = seccompiler::Error;

/// Leaves to all threads of this process, now and later, what `purpose` takes.
pub(super) fn restrict(purpose: Purpose) -> Result<(), Error> {
    // The C library starts threads by clone() where there is no clone3(), whose flags a filter cannot look at. The other
    // filter must allow it: of two refusals the last one's error counts.
    let no_clone3 = filter([(libc::SYS_clone3, vec![])].into(), SeccompAction::Allow, errno(libc::ENOSYS))?;
    let allowed = filter(allowed(purpose)?, errno(libc::EPERM), SeccompAction::Allow)?;
    // Of two filters the one that refuses counts.
    seccompiler::apply_filter_all_threads(&no_clone3)?;
    seccompiler::apply_filter_all_threads(&allowed)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

const fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

fn filter(rules: Rules, otherwise: SeccompAction, on_match: SeccompAction) -> Result<BpfProgram, Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(rules, otherwise, on_match, arch)?.try_into()?)
}

/// Whatever their arguments are.
const PLAIN: &[i64] = &[
    // What is open.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_fadvise64,
    // What files are like.
    libc::SYS_statx,
    libc::SYS_newfstatat,
    libc::SYS_statfs,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_eventfd2,
    libc::SYS_signalfd4,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_futex,
    libc::SYS_restart_syscall,
    libc::SYS_pipe2,
    libc::SYS_wait4,
    libc::SYS_waitid,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    // Threads and signals of this process.
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_capget,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    // The system.
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
];

/// Those that only x86-64 still has beside their successors.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_dup2,
    libc::SYS_poll,
    libc::SYS_epoll_wait,
    libc::SYS_arch_prctl,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[];

/// Of a live run besides: netlink, control groups by id, pidfds.
const LIVE: &[i64] = &[
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
];

/// `bpf(2)`: reads and writes maps that are open, and says what a descriptor is. It loads, makes and attaches nothing.
const BPF: [u64; 5] = [
    1,  // BPF_MAP_LOOKUP_ELEM
    2,  // BPF_MAP_UPDATE_ELEM
    3,  // BPF_MAP_DELETE_ELEM
    4,  // BPF_MAP_GET_NEXT_KEY
    15, // BPF_OBJ_GET_INFO_BY_FD
];

/// Files that are made, and those that go for them.
const FILES: &[i64] = &[libc::SYS_openat, libc::SYS_unlinkat, libc::SYS_renameat2, libc::SYS_fchown];
#[cfg(target_arch = "x86_64")]
const OLDER_FILES: &[i64] = &[libc::SYS_open, libc::SYS_unlink, libc::SYS_rename];
/// The C library prefers it to its successor, where the kernel has it.
#[cfg(not(target_arch = "x86_64"))]
const OLDER_FILES: &[i64] = &[libc::SYS_renameat];

/// `ioctl(2)`: what a terminal is like (not: its input, TIOCSTI), and events of perf that are open.
const IOCTL: [u64; 6] = [
    0x5401, // TCGETS
    0x5413, // TIOCGWINSZ
    0x5421, // FIONBIO
    0x541b, // FIONREAD
    0x2400, // PERF_EVENT_IOC_ENABLE
    0x2401, // PERF_EVENT_IOC_DISABLE
];

/// `ioctl(2)` of a run whose command has a terminal of its own: sets both terminals, and asks whose ours is.
const IOCTL_OF_TERMINALS: [u64; 5] = [
    0x5403,      // TCSETSW
    0x802c_542a, // TCGETS2
    0x402c_542c, // TCSETSW2
    0x5414,      // TIOCSWINSZ
    0x540f,      // TIOCGPGRP
];

/// `prctl(2)`: the names of threads, and of memory (`PR_SET_VMA`, which the C library tries).
const PRCTL: [u64; 3] = [15, 16, 0x5356_4d41];

fn allowed(purpose: Purpose) -> Result<Rules, Error> {
    let mut rules: Rules = PLAIN.iter().chain(OLDER).map(|&number| (number, vec![])).collect();
    let to_read = flags_without(libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC);
    rules.insert(libc::SYS_openat, vec![rule(2, to_read.clone(), 0)?]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, vec![rule(1, to_read, 0)?]);
    // No memory that can be run: libraries were loaded before.
    for number in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(number, vec![rule(2, flags_without(libc::PROT_EXEC), 0)?]);
    }
    // A thread, and no process.
    let is_thread = libc::CLONE_THREAD as u64;
    rules.insert(libc::SYS_clone, vec![rule(0, SeccompCmpOp::MaskedEq(is_thread), is_thread)?]);
    rules.insert(libc::SYS_prctl, any_of(0, &PRCTL)?);
    rules.insert(libc::SYS_ioctl, any_of(1, &IOCTL)?);
    // To itself, as abort() does; and limits are read, not set.
    rules.insert(libc::SYS_tgkill, any_of(0, &[std::process::id().into()])?);
    let null = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![null])?]);
    if let Purpose::Live { makes_files, command } = purpose {
        rules.extend(LIVE.iter().map(|&number| (number, vec![])));
        rules.insert(libc::SYS_bpf, any_of(0, &BPF)?);
        rules.insert(libc::SYS_socket, any_of(0, &[libc::AF_NETLINK as u64])?);
        rules.insert(libc::SYS_setns, any_of(1, &[libc::CLONE_NEWNET as u64])?);
        if let Some(pid) = command {
            rules.entry(libc::SYS_ioctl).or_default().extend(any_of(1, &IOCTL_OF_TERMINALS)?);
            // The threads that pass its keys and output on give up more.
            rules.insert(libc::SYS_capset, vec![]);
            // It alone, or all of its group, as a terminal does it.
            rules.insert(libc::SYS_kill, any_of(0, &[pid.into(), pid.wrapping_neg().into()])?);
        }
        if makes_files {
            rules.extend(FILES.iter().chain(OLDER_FILES).map(|&number| (number, vec![])));
        }
    }
    Ok(rules)
}

/// None of these bits.
const fn flags_without(bits: i32) -> SeccompCmpOp {
    SeccompCmpOp::MaskedEq(bits as u64)
}

/// An argument is one of these.
fn any_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, Error> {
    values.iter().map(|&value| rule(argument, SeccompCmpOp::Eq, value)).collect()
}

fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, Error> {
    // Commands and flags are int; what a caller leaves in the upper half means nothing.
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}
