//! Connections that waited in a listener's accept queue when the listener was closed: the kernel resets them one by
//! one, in the same call (inet_csk_listen_stop in net/ipv4/inet_connection_sock.c), and none of them tells how many.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::map, maps::LruHashMap};

use crate::{
    offset,
    sock::{Access, Identity, Object},
};

/// A queue as it was when its listener was closed.
#[derive(Clone, Copy)]
#[repr(C)]
struct Queue {
    netns: u32,
    port: u16,
    reserved: u16,
    waiting: u32,
}

/// The last one that a thread left behind, by the thread's id.
#[map]
static QUEUES: LruHashMap<u32, Queue> = LruHashMap::with_max_entries(256, 0);

#[inline(always)]
fn thread() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// The current task closes a listener.
#[inline(always)]
pub(crate) fn closes<A: Access>(listener: Object<A>, netns: u32, ends: &Identity) {
    let waiting: u32 = listener.get(&offset::SK_BACKLOG).unwrap_or(0);
    if waiting != 0 {
        // A full map forgets the oldest.
        let _ = QUEUES.insert(thread(), Queue { netns, port: ends.local_port, reserved: 0, waiting }, 0);
    }
}

/// How many waited, where the current task has closed the listener that a connection came to; else 0.
#[inline(always)]
pub(crate) fn left_by_current(netns: u32, ends: &Identity) -> u32 {
    // SAFETY: this thread's own entry.
    match unsafe { QUEUES.get(thread()) } {
        Some(queue) if queue.netns == netns && queue.port == ends.local_port => queue.waiting,
        _ => 0,
    }
}
