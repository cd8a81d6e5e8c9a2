//! Accept queues: which are full, and connections that find no place in one.
//!
//! Where tcp_abort_on_overflow is off, the kernel drops a handshake's last ACK then, and any SYN, without a word
//! (`tcp_v4_syn_recv_sock` and `tcp_conn_request` in net/ipv4). Of those nothing is seen but a counter.

use aya_ebpf::{macros::map, maps::LruHashMap};
use tracer_ebpf::record::{KIND_QUEUE, Queue};

use crate::{
    change::Change,
    emit::{self, About},
    filter, memory, offset, process,
    sock::{Access, Identity, Object, Probed},
};

/// A full queue is told of no more often than that, in nanoseconds.
const INTERVAL: u64 = 1_000_000_000;

/// When it was told of a listener's queue, by namespace, port, and whether a connection has found no place.
#[map]
static TOLD: LruHashMap<u64, u64> = LruHashMap::with_max_entries(1024, 0);

/// A listener's queue.
#[derive(Clone, Copy)]
pub(crate) struct Length {
    backlog: u32,
    max: u32,
}

impl Length {
    /// The queue length of a listener; a new connection's socket still has the listener's length before it was added.
    #[inline(always)]
    pub(crate) fn of<A: Access>(sk: Object<A>) -> Self {
        Self {
            backlog: sk.get(&offset::SK_BACKLOG).unwrap_or(0),
            max: sk.get(&offset::SK_MAX_BACKLOG).unwrap_or(u32::MAX),
        }
    }

    /// Nobody can be added (`sk_acceptq_is_full` in include/net/sock.h).
    #[inline(always)]
    pub(crate) const fn is_full(self) -> bool {
        self.backlog > self.max
    }
}

/// A queue that is full, as something of a listener's that happens in a context.
pub(crate) struct Full {
    pub(crate) context: u8,
    pub(crate) netns: u32,
    pub(crate) length: Length,
    /// A connection has found no place.
    pub(crate) dropped: bool,
}

/// A connection has come, and may have taken the last place.
#[inline(always)]
pub(crate) fn came<A: Access>(change: &Change, sk: Object<A>, ends: &Identity) {
    if filter::reports(KIND_QUEUE) {
        let Length { backlog, max } = Length::of(sk);
        let length = Length { backlog: backlog.wrapping_add(1), max };
        if length.is_full() {
            tell(&Full { context: change.context, netns: change.netns, length, dropped: false }, ends);
        }
    }
}

/// Reports that the queue of the local listener is full.
#[inline(never)]
pub(crate) fn tell(full: &Full, ends: &Identity) {
    let Full { context, netns, length, dropped } = *full;
    let now = emit::now();
    let key = u64::from(netns) << 32 | u64::from(ends.local_port) << 1 | u64::from(dropped);
    // SAFETY: a plain number; one that another CPU changes meanwhile costs a record more or less.
    let told = unsafe { TOLD.get(key) };
    if told.is_some_and(|told| now.wrapping_sub(*told) < INTERVAL) {
        return;
    }
    let _ = TOLD.insert(key, now, 0);
    let (owner, wanted) = match memory::find_listener(netns, ends) {
        Some(listener) => (&listener.owner, listener.wanted != 0),
        None => (&process::NOBODY, !filter::is_by_owner()),
    };
    if !wanted {
        return;
    }
    let place = Identity {
        family: ends.family,
        local: ends.local,
        remote: [0; 2],
        local_port: ends.local_port,
        remote_port: 0,
    };
    let about = About { now, netns, context, ends: &place, owner, opened: 0 };
    emit::submit(KIND_QUEUE, context, |record: *mut Queue| {
        let none = Object::<Probed>::new(core::ptr::null());
        // SAFETY: `record` is reserved memory of that type; all of it is written here.
        unsafe {
            emit::write_about(&raw mut (*record).header, KIND_QUEUE, size_of::<Queue>(), &about, none);
            (&raw mut (*record).backlog).write(length.backlog);
            (&raw mut (*record).max_backlog).write(length.max);
            (&raw mut (*record).overflows).write(0);
            (&raw mut (*record).drops).write(0);
            (&raw mut (*record).listeners).write(0);
            (&raw mut (*record).dropped).write(u8::from(dropped));
            (&raw mut (*record).counted).write(0);
            (&raw mut (*record).reserved).write([0; 2]);
        }
    });
}
