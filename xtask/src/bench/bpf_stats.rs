//! The kernel's account of the time that eBPF programs take (kernel.bpf_stats_enabled).

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};

use super::bpf;

/// While this lives, the kernel keeps account, which costs each program some time.
///
/// It is a descriptor and not the sysctl, which stays as it is: so the end of this process ends the account, whatever
/// ends the process.
pub(super) struct BpfStats {
    _descriptor: OwnedFd,
}

impl BpfStats {
    pub(super) fn enable() -> Result<Self> {
        let descriptor = bpf::enable_stats();
        let descriptor = descriptor.context("the kernel keeps no account of its eBPF programs (needs 5.8 and root)")?;
        Ok(Self { _descriptor: descriptor })
    }
}
