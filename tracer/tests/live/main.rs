//! Tests on the running kernel: they need root, so they are ignored unless asked for
//! (`cargo xtask test` asks).
//!
//! `TRACER_BIN` names another binary to test, such as a static one in a virtual machine.

mod columns;
mod demo;
mod doctor;
mod firewall;
mod other_btf;
mod report;
mod trace;
mod unhappy;
mod unsent;
mod wire;
