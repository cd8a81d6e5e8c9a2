//! Keeping small after doing something large.

/// Gives memory that is free again back to the system, which malloc alone would keep: parsing the
/// kernel's BTF or its symbols takes tens of megabytes for a moment.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}
