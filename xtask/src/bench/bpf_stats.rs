//! The kernel's account of the time that eBPF programs take (kernel.bpf_stats_enabled).

use std::{
    io,
    os::fd::{FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};

/// While this lives, the kernel keeps account, which costs each program some time.
///
/// It is a descriptor (`BPF_ENABLE_STATS`, Linux 5.8) and not the sysctl, which stays as it is: so the end of
/// this process ends the account, whatever ends the process.
pub(super) struct BpfStats {
    _descriptor: OwnedFd,
}

impl BpfStats {
    pub(super) fn enable() -> Result<Self> {
        /// `enum bpf_cmd`.
        const BPF_ENABLE_STATS: libc::c_long = 32;
        /// `enum bpf_stats_type`.
        const BPF_STATS_RUN_TIME: u32 = 0;
        let attributes: u32 = BPF_STATS_RUN_TIME;
        // SAFETY: the kernel reads so many bytes of `union bpf_attr`, of which this is the first member for
        // this command.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, BPF_ENABLE_STATS, &raw const attributes, size_of_val(&attributes)) };
        let descriptor = i32::try_from(result).ok().filter(|descriptor| *descriptor >= 0);
        let descriptor = descriptor.ok_or_else(io::Error::last_os_error);
        let descriptor = descriptor.context("the kernel keeps no account of its eBPF programs (needs 5.8 and root)")?;
        // SAFETY: the kernel has just made it, for us.
        Ok(Self { _descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) } })
    }
}
