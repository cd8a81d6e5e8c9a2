//! An eBPF-instrumented TCP tracer: why was this connection reset, and how did it open?
//!
//! Data goes one way: kernel hook -> record (crate `tracer-ebpf`) -> ring buffer ([`kernel::source`]) -> [`pipeline`]
//! (decode, enrich, diagnose) -> [`sink`]. Start-up is a line of its own: [`cli`] ([`filter`]) -> [`config`] -> [`kernel`]
//! (preflight, BTF, probes, loader); [`session`] joins the two, and [`commands`] and [`demo`] run sessions.

pub mod child;
pub mod cli;
pub mod commands;
pub mod config;
pub mod confine;
pub mod demo;
pub mod event;
pub mod filter;
pub mod host;
pub mod kernel;
pub mod outlet;
pub mod pipeline;
#[cfg(test)]
mod proportional;
pub mod recording;
pub mod redact;
pub mod report;
pub mod session;
pub mod sink;
pub mod stderr;
pub mod testbed;
