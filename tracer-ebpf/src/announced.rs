//! Which processes were reported.

use aya_ebpf::{macros::map, maps::LruHashMap};

/// Processes that were reported: what they ran at that time, by process id; and [`ENDED`], if it was reported that
/// they end.
#[map]
static PROCESSES: LruHashMap<u32, u64> = LruHashMap::with_max_entries(8192, 0);

/// The process ends, and that was reported. A start in nanoseconds does not reach this bit for 292 years.
const ENDED: u64 = 1 << 63;

/// What the process ran when it was reported, if it was.
#[inline(always)]
pub(crate) fn program(process: u32) -> Option<u64> {
    // SAFETY: a plain number; another CPU may replace it by the same.
    unsafe { PROCESSES.get(process) }.map(|program| program & !ENDED)
}

/// The process was reported, and ran that.
#[inline(always)]
pub(crate) fn remember(process: u32, program: u64) {
    let _ = PROCESSES.insert(process, program, 0);
}

/// The process was reported, and not yet that it ends.
#[inline(always)]
pub(crate) fn is_announced(process: u32) -> bool {
    // SAFETY: a plain number.
    unsafe { PROCESSES.get(process) }.is_some_and(|program| program & ENDED == 0)
}

/// It was reported that the process ends.
#[inline(always)]
pub(crate) fn ended(process: u32) {
    if let Some(program) = PROCESSES.get_ptr_mut(process) {
        // SAFETY: the map's memory, and a plain number.
        unsafe { *program |= ENDED };
    }
}
