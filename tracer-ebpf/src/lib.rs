//! The contract between the eBPF programs and user space: what a record looks like ([`record`]) and
//! which kernel fields the programs read ([`layout`]), how they are told what to report ([`criteria`]),
//! and what they are called ([`programs`]).
//!
//! The programs are this package's binary (`main.rs`, feature `ebpf`). This library must stay free of
//! `aya-ebpf`: that crate defines `memcpy`, `memmove` and `memset` unmangled, and a host binary that
//! linked it would lose libc's.
#![no_std]

pub mod criteria;
pub mod layout;
pub mod listener;
pub mod programs;
pub mod record;
pub mod room;
