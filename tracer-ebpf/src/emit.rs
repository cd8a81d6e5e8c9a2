//! Reserve, fill, submit; count what could not be delivered; wake the reader in batches.

use aya_ebpf::{
    EbpfContext, Global,
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_stack, bpf_ktime_get_ns},
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use tracer_ebpf::record::{Delivery, Header, KINDS};

use crate::sock::{Access, Address, Identity, Object, cookie};

/// The records; the loader sets the size.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Deliveries by record kind.
#[map]
static DELIVERIES: PerCpuArray<Delivery> = PerCpuArray::with_max_entries(KINDS as u32, 0);

/// Bytes in the ring buffer from which on the reader is woken. Below, it comes by itself, by a timer:
/// a wake-up per record costs more than all else together.
#[unsafe(no_mangle)]
static WAKE_AT: Global<u32> = Global::new(1 << 18);

/// Puts a record of type `T` into the ring buffer, filled by `fill`, or counts it as lost.
#[inline(always)]
pub(crate) fn submit<T: 'static>(kind: u16, fill: impl FnOnce(*mut T)) {
    let delivery = DELIVERIES.get_ptr_mut(u32::from(kind));
    let Some(mut entry) = EVENTS.reserve::<T>(0) else {
        if let Some(delivery) = delivery {
            // SAFETY: the slot is this CPU's own.
            unsafe { (*delivery).lost += 1 };
        }
        return;
    };
    fill(entry.as_mut_ptr());
    let wake = EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) >= u64::from(WAKE_AT.load());
    entry.submit(u64::from(if wake { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP }));
    if let Some(delivery) = delivery {
        // SAFETY: the slot is this CPU's own.
        unsafe { (*delivery).submitted += 1 };
    }
}

/// A header for a record of `T`, all but its socket and addresses.
#[inline(always)]
pub(crate) fn header<T>(kind: u16, netns: u32, context: u8) -> Header {
    let id = bpf_get_current_pid_tgid();
    Header {
        // SAFETY: a helper without preconditions.
        mono_ns: unsafe { bpf_ktime_get_ns() },
        cookie: 0,
        sock: 0,
        kind,
        size: size_of::<T>() as u16,
        netns,
        pid: (id >> 32) as u32,
        tid: id as u32,
        comm: bpf_get_current_comm().unwrap_or_default(),
        local_addr: [0; 16],
        remote_addr: [0; 16],
        local_port: 0,
        remote_port: 0,
        family: 0,
        context,
        reserved: 0,
    }
}

/// Says whose socket it is.
#[inline(always)]
pub(crate) fn set_socket<A: Access>(header: &mut Header, sk: Object<A>) {
    header.sock = sk.address();
    header.cookie = cookie(sk);
}

/// Says which two ends it is about.
#[inline(always)]
pub(crate) fn set_ends(header: &mut Header, ends: &Identity) {
    header.family = ends.family;
    header.local_addr = bytes(ends.local);
    header.remote_addr = bytes(ends.remote);
    header.local_port = ends.local_port;
    header.remote_port = ends.remote_port;
}

#[inline(always)]
fn bytes(address: Address) -> [u8; 16] {
    // SAFETY: both are 16 bytes without padding, and any bytes are an address.
    unsafe { core::mem::transmute(address) }
}

/// Writes the kernel stack to `frames` and returns how many of them are valid.
///
/// # Safety
/// `frames` must be writable for its whole length.
#[inline(always)]
pub(crate) unsafe fn stack<const N: usize>(ctx: &impl EbpfContext, frames: *mut [u64; N]) -> u32 {
    let size = size_of::<[u64; N]>() as u32;
    // SAFETY: the caller's buffer has that size.
    let written = unsafe { bpf_get_stack(ctx.as_ptr(), frames.cast(), size, 0) };
    if written < 0 { 0 } else { (written as u32) / 8 }
}
