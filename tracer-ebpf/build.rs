//! Tells the programs, and what user space shares with them, which machine they will run on: kprobes read its registers,
//! and its kernels have fields of their own.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(bpf_target_arch, values(any()))");
    println!("cargo::rerun-if-env-changed=CARGO_CFG_BPF_TARGET_ARCH");
    let name = |variable| env::var(variable).ok().filter(|name| !name.is_empty());
    // What the call of cargo says; else user space's machine; else, as aya-ebpf-bindings does it, the one that builds.
    let arch = name("CARGO_CFG_BPF_TARGET_ARCH")
        .or_else(|| name("CARGO_CFG_TARGET_ARCH").filter(|arch| arch != "bpf"))
        .or_else(|| name("HOST").and_then(|host| Some(host.split_once('-')?.0.to_owned())))
        .unwrap_or_default();
    println!("cargo::rustc-cfg=bpf_target_arch=\"{arch}\"");
}
