//! How a virtual machine is ended from inside, so that the emulator's exit status tells it from all other ends: a kernel
//! that panics or reboots ends QEMU with 0.

/// QEMU's exit status.
pub(crate) const EXIT_STATUS: u8 = 33;

/// Ends the machine, by QEMU's isa-debug-exit device: a byte written to its port is half of the exit status, which is odd.
#[cfg(target_arch = "x86_64")]
pub(crate) fn power_off() {
    const PORT: u16 = 0xf4;
    // SAFETY: init has nothing to lose; what the byte does is said above.
    unsafe {
        libc::ioperm(PORT.into(), 1, 1);
        std::arch::asm!("out dx, al", in("dx") PORT, in("al") EXIT_STATUS >> 1, options(nomem, nostack));
    }
}

/// Ends the machine, by a semihosting call (`SYS_EXIT`, with the reason `ADP_Stopped_ApplicationExit` and the status).
#[cfg(target_arch = "aarch64")]
pub(crate) fn power_off() {
    const SYS_EXIT: u64 = 0x18;
    let parameters: [u64; 2] = [0x2_0026, EXIT_STATUS.into()];
    // SAFETY: init has nothing to lose; the call reads the parameters, which live through it.
    unsafe {
        std::arch::asm!("hlt #0xf000", inout("x0") SYS_EXIT => _, in("x1") parameters.as_ptr(), options(nostack));
    }
}

/// Nobody boots a machine of another processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn power_off() {}
