//! Copies by words. What the compiler makes of a plain copy is a call of memcpy, byte after byte.

/// Copies a value of whole words.
///
/// # Safety
/// `to` must be writable.
#[inline(always)]
pub(crate) unsafe fn copy<T: Copy>(to: *mut T, from: &T) {
    const { assert!(align_of::<T>() == 8) };
    // SAFETY: the caller's.
    unsafe { copy_by::<u64, T>(to, from) };
}

/// Copies a value of whole half words.
///
/// # Safety
/// `to` must be writable.
#[inline(always)]
pub(crate) unsafe fn copy_halves<T: Copy>(to: *mut T, from: &T) {
    const { assert!(align_of::<T>() == 4) };
    // SAFETY: the caller's.
    unsafe { copy_by::<u32, T>(to, from) };
}

/// # Safety
/// `to` must be writable, and both aligned for a `W`.
#[inline(always)]
unsafe fn copy_by<W: Copy, T: Copy>(to: *mut T, from: &T) {
    const { assert!(size_of::<T>().is_multiple_of(size_of::<W>())) };
    let (to, from) = (to.cast::<W>(), core::ptr::from_ref(from).cast::<W>());
    let mut index = 0;
    while index < size_of::<T>() / size_of::<W>() {
        // SAFETY: inside of both values, and aligned; volatile, so that it does not become a call again.
        unsafe { to.add(index).write_volatile(from.add(index).read()) };
        index += 1;
    }
}

/// Sets all words of a value to zero, and gives the value.
///
/// # Safety
/// `to` must be writable, and all zero a valid value.
#[inline(always)]
pub(crate) unsafe fn clear<'a, T>(to: *mut T) -> &'a mut T {
    const { assert!(align_of::<T>() == 8 && size_of::<T>().is_multiple_of(8)) };
    let words = to.cast::<u64>();
    let mut index = 0;
    while index < size_of::<T>() / 8 {
        // SAFETY: as above.
        unsafe { words.add(index).write_volatile(0) };
        index += 1;
    }
    // SAFETY: it is initialized now.
    unsafe { &mut *to }
}
