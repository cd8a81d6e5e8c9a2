//! What the segments of a connection are like, to tell a RST that is not: whoever resets in the peer's name sits
//! at another distance, and counts its packets apart.

use aya_ebpf::{
    Global,
    macros::map,
    maps::{LruHashMap, PerCpuArray},
};
use tracer_ebpf::record::{Segment, SegmentStats};

use crate::{
    segment::{self, Packet},
    sock::{Access, Identity, Object},
    word_copy,
};

/// 1: segments are looked at.
#[unsafe(no_mangle)]
static BASELINE: Global<u8> = Global::new(0);

/// A connection's segments.
#[derive(Clone, Copy)]
#[repr(C)]
struct Connection {
    heard: SegmentStats,
    /// Ports of the connection: they differ from those of the next socket at this address.
    local_port: u16,
    remote_port: u16,
    reserved: u32,
}

/// Connections by their socket's address; the loader makes room for one where nobody asks.
#[map]
static HEARD: LruHashMap<u64, Connection> = LruHashMap::with_max_entries(65536, 0);

/// A RST on its way through TCP.
#[derive(Clone, Copy)]
#[repr(C)]
struct Incoming {
    sk: u64,
    segment: Segment,
    reserved: u32,
}

/// The last one, on each CPU.
#[map]
static INCOMING: PerCpuArray<Incoming> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
pub(crate) fn pass(sk: u64, segment: Segment) {
    if let Some(incoming) = INCOMING.get_ptr_mut(0) {
        // SAFETY: the slot is this CPU's own; packets are not processed within another's processing.
        unsafe { incoming.write(Incoming { sk, segment, reserved: 0 }) };
    }
}

#[inline(always)]
pub(crate) fn hear(sk: u64, packet: &Packet) {
    let ends = packet.ends();
    let Segment { ttl, window, ip_id, ip_version, .. } = packet.segment;
    let Some(known) = of(sk, &ends) else {
        let heard = SegmentStats {
            segments: 1,
            ttl_low: ttl,
            ttl_high: ttl,
            ip_id,
            window_low: window,
            window_high: window,
            ip_version,
            reserved: [0; 3],
        };
        let (local_port, remote_port) = (ends.local_port, ends.remote_port);
        let _ = HEARD.insert(sk, Connection { heard, local_port, remote_port, reserved: 0 }, 0);
        return;
    };
    known.segments = known.segments.saturating_add(1);
    known.ttl_low = known.ttl_low.min(ttl);
    known.ttl_high = known.ttl_high.max(ttl);
    known.window_low = known.window_low.min(window);
    known.window_high = known.window_high.max(window);
    known.ip_id = ip_id;
}

/// The segments of the connection that the socket at an address has now.
#[inline(always)]
fn of(sk: u64, ends: &Identity) -> Option<&'static mut SegmentStats> {
    // SAFETY: entries stay valid for the program's run, and a connection's segments are processed under its lock.
    let known = unsafe { &mut *HEARD.get_ptr_mut(sk)? };
    let is_it = known.local_port == ends.local_port && known.remote_port == ends.remote_port;
    is_it.then_some(&mut known.heard)
}

/// The RST that TCP processes for this socket now, if it passed here.
#[inline(always)]
pub(crate) fn incoming<A: Access>(sk: Object<A>) -> Segment {
    if BASELINE.load() == 0 {
        return segment::NONE;
    }
    let Some(incoming) = INCOMING.get_ptr_mut(0) else { return segment::NONE };
    // SAFETY: the slot is this CPU's own.
    let incoming = unsafe { &mut *incoming };
    if incoming.sk != sk.address() {
        return segment::NONE;
    }
    // It is processed once; the next may be another socket's at this address.
    incoming.sk = 0;
    incoming.segment
}

/// Fills in what is known.
///
/// # Safety
/// `heard` must be writable.
#[inline(always)]
pub(crate) unsafe fn write<A: Access>(heard: *mut SegmentStats, sk: Object<A>, ends: &Identity) {
    // SAFETY: the caller's.
    let heard = unsafe { word_copy::clear(heard.cast::<[u64; 2]>()).as_mut_ptr().cast::<SegmentStats>() };
    if BASELINE.load() != 0
        && !sk.is_null()
        && let Some(known) = of(sk.address(), ends)
    {
        // SAFETY: the caller's.
        unsafe { word_copy::copy_halves(heard, known) };
    }
}
