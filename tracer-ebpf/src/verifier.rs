//! What spares the verifier work.

/// The same number, of which the verifier knows nothing any more: it walks through what follows once, and not once for
/// each value and each way to it. Not for [`u32::MAX`].
#[inline(always)]
pub(crate) fn forget(number: u32) -> u32 {
    /// Of the stack it knows what was stored at a multiple of 8 bytes, and where there are zeros.
    #[repr(align(8))]
    struct Slot([u32; 2]);
    let mut slot = Slot([0; 2]);
    let passed = &raw mut slot.0[1];
    // SAFETY: a variable of our own. Volatile: the compiler would see through it.
    unsafe {
        passed.write_volatile(number.wrapping_add(1));
        passed.read_volatile().wrapping_sub(1)
    }
}
