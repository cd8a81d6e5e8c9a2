//! What the programs and user space agree on for one processor: fields that only its kernels have, or that they call by
//! names of their own. `build.rs` says which processor that is.

#[cfg(bpf_target_arch = "aarch64")]
mod aarch64;
#[cfg(bpf_target_arch = "x86_64")]
mod x86_64;

#[cfg(bpf_target_arch = "aarch64")]
pub use self::aarch64::*;
#[cfg(bpf_target_arch = "x86_64")]
pub use self::x86_64::*;

#[cfg(not(any(bpf_target_arch = "aarch64", bpf_target_arch = "x86_64")))]
compile_error!("there is no file for this processor beside contract/arch/x86_64.rs");

/// A global, and what it is by the size of a page.
pub type ByPage = (&'static str, fn(u32) -> u32);
