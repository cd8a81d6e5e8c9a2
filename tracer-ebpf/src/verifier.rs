//! What spares the verifier work.

/// Launders a scalar so that the verifier forgets its known range, and explores what follows only once. Not for
/// [`u32::MAX`].
#[inline(always)]
pub(crate) fn hide_value(number: u32) -> u32 {
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
