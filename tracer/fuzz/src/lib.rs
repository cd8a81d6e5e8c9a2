//! What strangers may write, and what the tracer may make of it.
//!
//! Each module has one function, `check`, which takes any bytes, gives them to a part of the tracer and insists on what
//! must hold whatever they are: no panic, no arithmetic that overflows, nothing that a terminal obeys, memory and time
//! within bounds. `cargo xtask fuzz` lets libFuzzer choose the bytes, led by the code that they reach; `cargo test` plays
//! what is in `corpus/`, where each input that found a fault stays.

use std::path::PathBuf;

pub mod btf;
pub mod filters;
pub mod golden;
pub mod limit;
mod memory;
pub mod pipeline;
#[path = "../../tests/golden/plain.rs"]
mod plain;
pub mod proc;
#[path = "../../src/proportional.rs"]
mod proportional;
pub mod recording;
pub mod records;
pub mod seeds;
#[path = "../../tests/golden/shown.rs"]
mod shown;
#[path = "../../tests/live/valid.rs"]
mod valid;

/// A part of the tracer, and inputs to begin with.
pub struct Target {
    /// The binary is called `fuzz_NAME`.
    pub name: &'static str,
    /// What must hold for any bytes.
    pub check: fn(&[u8]),
    /// Well-formed inputs.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
}

impl Target {
    /// Where its inputs are.
    pub fn corpus(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name)
    }
}

/// All of them.
pub const TARGETS: [Target; 6] = [
    Target { name: "btf", check: btf::check, seeds: seeds::btf },
    Target { name: "filters", check: filters::check, seeds: seeds::filters },
    Target { name: "pipeline", check: pipeline::check, seeds: seeds::pipeline },
    Target { name: "proc", check: proc::check, seeds: seeds::proc },
    Target { name: "recording", check: recording::check, seeds: seeds::recording },
    Target { name: "records", check: records::check, seeds: seeds::records },
];
