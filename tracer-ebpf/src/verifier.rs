//! What spares the verifier work.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tracer_ebpf::record::CONTEXT_INTERRUPT;

/// A number on its way through memory: of what runs in a process, and of what interrupts.
#[map]
static PASSED: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);

/// The same number, of which the verifier knows nothing any more: it walks through what follows once, and not once for
/// each value and each way to it. `context`: one of the `CONTEXT_` constants.
#[inline(always)]
pub(crate) fn forget(context: u8, number: u64) -> u64 {
    let Some(passed) = PASSED.get_ptr_mut(u32::from(context == CONTEXT_INTERRUPT)) else { return 0 };
    // SAFETY: the slot is this CPU's and this kind of context's own.
    unsafe {
        passed.write_volatile(number);
        passed.read_volatile()
    }
}
