//! Sockets that were opened before the trace: an iterator over the descriptors of all tasks.

use core::ffi::c_void;

use tracer_ebpf::record::{AF_INET, AF_INET6, CONTEXT_PROCESS, KIND_QUEUE, OWNER_HELD};

use crate::{
    filter, memory, offset,
    overflow::{self, Full, Length},
    past, process,
    sock::{self, Object, Probed},
    tcp::{TCP_ESTABLISHED, TCP_LISTEN},
};

const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
const IPPROTO_TCP: u16 = 6;

/// `struct bpf_iter__task_file` (kernel/bpf/task_iter.c): four words, the third an `u32`.
#[repr(C)]
struct TaskFile {
    meta: *const u8,
    task: *const u8,
    descriptor: u64,
    file: *const u8,
}

/// Runs for each descriptor of each task; threads that share theirs count as one.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn existing_sockets(ctx: *mut c_void) -> i32 {
    let ctx: *const TaskFile = ctx.cast_const().cast();
    // SAFETY: the context of this kind of iterator.
    let (task, file) = unsafe { ((&raw const (*ctx).task).read_volatile(), (&raw const (*ctx).file).read_volatile()) };
    if !task.is_null() && !file.is_null() {
        hold(Object::new(task), Object::new(file));
    }
    0
}

#[inline(always)]
fn hold(task: Object<Probed>, file: Object<Probed>) {
    let mode: u16 = file.follow(&offset::FILE_INODE).and_then(|inode| inode.get(&offset::INODE_MODE)).unwrap_or(0);
    if mode & S_IFMT != S_IFSOCK {
        return;
    }
    let Some(sk) = file.follow(&offset::FILE_PRIVATE).and_then(|socket| socket.follow(&offset::SOCKET_SK)) else {
        return;
    };
    let family: u16 = sk.get(&offset::SK_FAMILY).unwrap_or(0);
    if family != AF_INET && family != AF_INET6 || sk.get::<u16>(&offset::SK_PROTOCOL) != Some(IPPROTO_TCP) {
        return;
    }
    let netns = sock::netns(sk);
    if !filter::wants_netns(netns) {
        return;
    }
    let owner = process::owner(task, OWNER_HELD);
    match memory::of(sk) {
        // Several hold it: the first one, unless only a later one is wanted.
        Some(entry) => {
            if entry.wanted == 0 && filter::wants_owner(&owner, task) {
                memory::adopt(entry, task, &owner);
            }
        }
        None => {
            let wanted = filter::wants_owner(&owner, task);
            let ends = sock::identity(sk);
            let state = sk.get::<u8>(&offset::SK_STATE);
            if let Some(entry) = memory::begin(sk.address(), &owner, wanted, 0, CONTEXT_PROCESS) {
                // Its end may be missed, and what is at its address then must not be taken for it.
                entry.port = ends.local_port;
                if state == Some(TCP_ESTABLISHED) {
                    entry.kept_at = past::establish(CONTEXT_PROCESS, netns, sk.address(), &ends);
                }
            }
            if state == Some(TCP_LISTEN) {
                memory::listen(netns, &ends, &owner, wanted);
                let length = Length::of(sk);
                if filter::reports(KIND_QUEUE) && filter::wants_ends(&ends) && length.is_full() {
                    overflow::tell(&Full { context: CONTEXT_PROCESS, netns, length, dropped: false }, &ends);
                }
            }
        }
    }
}
