//! Tells the programs which machine they will run on: kprobes read its registers.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(bpf_target_arch, values(any()))");
    println!("cargo::rerun-if-env-changed=CARGO_CFG_BPF_TARGET_ARCH");
    // As aya-ebpf-bindings does it: the machine that builds, unless told otherwise.
    let arch = env::var("CARGO_CFG_BPF_TARGET_ARCH")
        .or_else(|_| env::var("HOST").map(|host| host.split('-').next().unwrap_or_default().to_owned()))
        .unwrap_or_default();
    println!("cargo::rustc-cfg=bpf_target_arch=\"{arch}\"");
}
