//! Reserve, fill, submit; count what could not be delivered; wake the reader in batches.

use aya_ebpf::{
    Global,
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_ktime_get_ns, generated::bpf_get_current_comm},
    macros::map,
    maps::{PerCpuArray, RingBuf, ring_buf::RingBufBytes},
};
use tracer_ebpf::record::{Delivery, Header, KINDS, Owner};

use crate::{
    context, offset, pid, process,
    sock::{Access, Identity, Object, bytes, cookie},
    task, word_copy,
};

/// The records; the loader sets the size.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Deliveries by record kind: [`KINDS`] slots for what runs in an interrupt, behind those for the rest.
#[map]
static DELIVERIES: PerCpuArray<Delivery> = PerCpuArray::with_max_entries(2 * KINDS as u32, 0);

/// Bytes in the ring buffer from which on the reader is woken. Below, it comes by itself, by a timer:
/// a wake-up per record costs more than all else together.
#[unsafe(no_mangle)]
static WAKE_AT: Global<u32> = Global::new(1 << 18);

/// Bytes above [`WAKE_AT`] within which each record wakes the reader: several CPUs may fill the buffer at once.
const WAKE_WITHIN: u64 = 4096;

/// Puts a record of type `T` into the ring buffer, filled by `fill`, or counts it as lost. `context`: one of
/// the `CONTEXT_` constants.
#[inline(always)]
pub(crate) fn submit<T: 'static>(kind: u16, context: u8, fill: impl FnOnce(*mut T)) -> bool {
    let Some(mut reserved) = reserve(kind, context, size_of::<T>()) else { return false };
    fill(reserved.place().cast());
    reserved.submit();
    true
}

/// Room for a record in the ring buffer.
pub(crate) struct Reserved {
    bytes: RingBufBytes<'static>,
    kind: u16,
    context: u8,
}

/// Reserves so many bytes for a record, a constant for the verifier on each way to here, or counts the record as lost.
#[inline(always)]
pub(crate) fn reserve(kind: u16, context: u8, size: usize) -> Option<Reserved> {
    let bytes = EVENTS.reserve_bytes(size, 0);
    if bytes.is_none() {
        count(kind, context, false);
    }
    Some(Reserved { bytes: bytes?, kind, context })
}

impl Reserved {
    /// Where the record goes.
    #[inline(always)]
    pub(crate) fn place(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    /// The record is written.
    #[inline(always)]
    pub(crate) fn submit(self) {
        let above = EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)).wrapping_sub(u64::from(WAKE_AT.load()));
        // While it fills up, and not for each record from then on: a reader that is behind is awake.
        let wake = above < WAKE_WITHIN;
        self.bytes.submit(u64::from(if wake { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP }));
        count(self.kind, self.context, true);
    }
}

/// Counts a record, or what else one holds, as delivered or lost.
#[inline(always)]
pub(crate) fn count(kind: u16, context: u8, is_delivered: bool) {
    let slot = u32::from(kind) + context::slot(context) * KINDS as u32;
    let Some(delivery) = DELIVERIES.get_ptr_mut(slot) else { return };
    // SAFETY: the slot is this CPU's and this kind of context's own.
    unsafe {
        if is_delivered {
            (*delivery).submitted += 1;
        } else {
            (*delivery).lost += 1;
        }
    }
}

/// The time of an event: `CLOCK_MONOTONIC` in nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: a helper without preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// Writes the header of a record of `size` bytes: the current task, and neither socket, owner nor ends.
///
/// # Safety
/// `header` must be writable.
#[inline(always)]
pub(crate) unsafe fn write_header(header: *mut Header, kind: u16, size: usize, mono_ns: u64, netns: u32, context: u8) {
    let (pid, tid) = pid::of_current();
    // Member by member: a whole header on the way would take a quarter of the stack.
    // SAFETY: the caller's.
    unsafe {
        let header = word_copy::clear(header);
        header.mono_ns = mono_ns;
        header.kind = kind;
        header.size = size as u16;
        header.netns = netns;
        header.pid = pid;
        header.tid = tid;
        match task::current_typed() {
            Some(task) => header.comm = bytes(task.get_pair(&offset::TASK_COMM)),
            // Where it fails it leaves zeros.
            None => {
                bpf_get_current_comm((&raw mut header.comm).cast(), size_of::<[u8; 16]>() as u32);
            }
        }
        header.owner.uid = process::NOBODY.uid;
        header.context = context;
    }
}

/// What the header of a record says of the event, besides the socket.
pub(crate) struct About<'a> {
    pub(crate) now: u64,
    pub(crate) netns: u32,
    pub(crate) context: u8,
    pub(crate) ends: &'a Identity,
    pub(crate) owner: &'a Owner,
    /// One of the `OPEN_` constants.
    pub(crate) opened: u8,
}

/// Writes the header of a record of `size` bytes about `sk`, which may be null.
///
/// # Safety
/// `header` must be writable.
#[inline(always)]
pub(crate) unsafe fn write_about<A: Access>(
    header: *mut Header,
    kind: u16,
    size: usize,
    about: &About<'_>,
    sk: Object<A>,
) {
    // SAFETY: the caller's; after the first line it is initialized.
    unsafe {
        write_header(header, kind, size, about.now, about.netns, about.context);
        let header = &mut *header;
        if !sk.is_null() {
            header.sock = sk.address();
            header.cookie = cookie(sk);
        }
        word_copy::copy(&raw mut header.owner, about.owner);
        header.opened = about.opened;
        header.family = about.ends.family;
        // Both are at a multiple of 8 bytes (asserted below).
        word_copy::copy((&raw mut header.local_addr).cast(), &about.ends.local);
        word_copy::copy((&raw mut header.remote_addr).cast(), &about.ends.remote);
        header.local_port = about.ends.local_port;
        header.remote_port = about.ends.remote_port;
    }
}

const _: () = assert!(core::mem::offset_of!(Header, local_addr) % 8 == 0);
const _: () = assert!(core::mem::offset_of!(Header, remote_addr) % 8 == 0);
