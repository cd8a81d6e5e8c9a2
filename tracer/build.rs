//! Embeds the eBPF programs that `cargo xtask build` made.
//!
//! Without them (a plain `cargo build`, a linter) the binary still builds and says at run time what is
//! missing: building the host side needs no eBPF toolchain.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=TRACER_EBPF_OBJECT");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("tracer-ebpf");
    let object = match env::var_os("TRACER_EBPF_OBJECT") {
        Some(path) => {
            println!("cargo::rerun-if-changed={}", PathBuf::from(&path).display());
            fs::read(&path).unwrap_or_else(|error| panic!("TRACER_EBPF_OBJECT: {}: {error}", path.display()))
        }
        None => Vec::new(),
    };
    fs::write(out, object).expect("OUT_DIR is writable");
}
