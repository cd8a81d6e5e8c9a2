//! What the user asked for: read-only globals, so that a branch that is not wanted vanishes at load.

use aya_ebpf::{Global, macros::map, maps::HashMap};

/// 1: only the namespaces in [`NETNS`] are reported.
#[unsafe(no_mangle)]
pub(crate) static NETNS_ONLY: Global<u8> = Global::new(0);

/// 1: `bpf_get_socket_cookie` takes a socket in tracing programs (BTF has `bpf_get_socket_ptr_cookie`).
#[unsafe(no_mangle)]
pub(crate) static COOKIE_HELPER: Global<u8> = Global::new(0);

/// 1: `tcp:tcp_send_reset` reports passive resets too. Before 6.10 it fires for full sockets only,
/// and they are taken from the functions instead.
#[unsafe(no_mangle)]
pub(crate) static RESET_TP_PASSIVE: Global<u8> = Global::new(0);

/// Inodes of the namespaces to report, if [`NETNS_ONLY`].
#[map]
static NETNS: HashMap<u32, u8> = HashMap::with_max_entries(64, 0);

/// The namespace is one to report.
#[inline(always)]
pub(crate) fn wants(netns: u32) -> bool {
    // SAFETY: the value is not read, so it does not matter that the entry may change.
    NETNS_ONLY.load() == 0 || unsafe { NETNS.get(netns) }.is_some()
}
