//! Keeping small after doing something large, and how much there is.

/// Gives memory that is free again back to the system, which malloc alone would keep: parsing the
/// kernel's BTF or its symbols takes tens of megabytes for a moment.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The machine's memory in bytes, 0 if the kernel does not tell.
pub(crate) fn total() -> u64 {
    nix::sys::sysinfo::sysinfo().map_or(0, |info| info.ram_total())
}

/// Lets threads that begin from now on take memory where all others do. What is freed of a place of their own would not
/// be given back.
pub(crate) fn share() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number, and takes no address.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
