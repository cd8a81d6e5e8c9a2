//! An eBPF-instrumented TCP tracer: why was this connection reset, and how did it open?
//!
//! Data goes one way: kernel hook -> record (crate `tracer-ebpf`) -> ring buffer -> [`source`] ->
//! [`decode`] -> [`enrich`] (with [`diagnose`]) -> [`sink`]. Start-up is a line of its own:
//! [`cli`] ([`filter`]) -> [`preflight`] -> [`btf`] -> [`probes`] -> [`loader`]; [`session`] joins the two.
//!
//! The commands are [`trace`], [`rst`], [`demo`], [`replay`] and [`doctor`].

pub mod addresses;
pub mod btf;
pub mod cli;
pub mod command;
pub mod decode;
pub mod demo;
pub mod diagnose;
pub mod doctor;
pub mod enrich;
pub mod event;
pub mod filter;
mod hook_types;
pub mod kind;
pub mod loader;
mod memory;
pub mod outlet;
pub mod output;
mod pid_namespace;
mod pidfd;
pub mod preflight;
mod priority;
pub mod probes;
pub mod recording;
pub mod replay;
pub mod report;
pub mod room;
pub mod rst;
pub mod session;
pub mod sink;
mod snmp;
pub mod sock_diag;
pub mod source;
pub mod stderr;
mod tally;
pub mod trace;
