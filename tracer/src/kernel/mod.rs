//! What the kernel offers, and the programs in it: its types, the plan of probes, the loader and the ring buffer.

pub mod btf;
mod hook_types;
pub mod loader;
pub mod preflight;
pub mod probes;
pub mod room;
pub mod source;
