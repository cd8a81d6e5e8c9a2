//! What the programs know of the processor that they run on. `build.rs` says which one that is.

#[cfg(bpf_target_arch = "aarch64")]
mod aarch64;
#[cfg(bpf_target_arch = "x86_64")]
mod x86_64;

#[cfg(bpf_target_arch = "aarch64")]
pub(crate) use self::aarch64::*;
#[cfg(bpf_target_arch = "x86_64")]
pub(crate) use self::x86_64::*;

/// Whose registers the programs read. tracer's build script embeds none for another processor: they would be loaded, and
/// read wrong ones.
#[unsafe(link_section = "processor")]
#[unsafe(no_mangle)]
static PROCESSOR: [u8; NAME.len()] = *NAME;

#[cfg(not(any(bpf_target_arch = "aarch64", bpf_target_arch = "x86_64")))]
compile_error!("there is no file for this processor beside arch/x86_64.rs");
