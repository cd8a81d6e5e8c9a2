//! What this kernel offers programs, as the loader found it: read-only globals, so that a branch that is not taken
//! vanishes at load.

use aya_ebpf::Global;

/// 1: `bpf_task_pt_regs` is there (5.15 and later, seen in BTF).
#[unsafe(no_mangle)]
pub(crate) static TASK_REGS_HELPER: Global<u8> = Global::new(0);

/// 1: `bpf_get_socket_cookie` takes a socket in tracing programs (BTF has `bpf_get_socket_ptr_cookie`).
#[unsafe(no_mangle)]
pub(crate) static COOKIE_HELPER: Global<u8> = Global::new(0);

/// 1: `tcp:tcp_send_reset` reports passive resets too. Before 6.10 it fires for full sockets only,
/// and they are taken from the functions instead.
#[unsafe(no_mangle)]
pub(crate) static RESET_TP_PASSIVE: Global<u8> = Global::new(0);
