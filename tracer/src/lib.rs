//! An eBPF-instrumented TCP tracer: why was this connection reset, and how did it open?
//!
//! Data goes one way: kernel hook -> record (crate `tracer-ebpf`) -> ring buffer -> [`source`] ->
//! [`decode`] -> [`enrich`] (with [`flow`] and [`diagnose`]) -> [`sink`]. Start-up is a line of its own:
//! [`cli`] -> [`preflight`] -> [`btf`] -> [`probes`] -> [`loader`]; [`session`] joins the two.
//!
//! The commands are [`trace`], [`demo`], [`replay`] and [`doctor`].

pub mod btf;
pub mod cli;
pub mod decode;
pub mod demo;
pub mod diagnose;
pub mod doctor;
pub mod enrich;
pub mod event;
pub mod flow;
pub mod loader;
mod memory;
pub mod output;
pub mod preflight;
pub mod probes;
pub mod recording;
pub mod replay;
pub mod report;
pub mod session;
pub mod sink;
pub mod sock_diag;
pub mod source;
pub mod trace;
