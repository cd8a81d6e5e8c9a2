//! The contract between the eBPF programs and user space, see [`contract`].
//!
//! The programs are this package's binary (`main.rs`, feature `ebpf`). This library must stay free of
//! `aya-ebpf`: that crate defines `memcpy`, `memmove` and `memset` unmangled, and a host binary that
//! linked it would lose libc's.
#![no_std]

pub mod contract;

pub use contract::*;
