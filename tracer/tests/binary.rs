//! What must not get into the binary.

use std::fs;

use object::{
    build::elf::Builder,
    elf::{SHN_UNDEF, STT_FUNC},
};

/// aya-ebpf defines these unmangled. Linked into the host's binary they would replace libc's.
#[test]
fn libc_keeps_its_memory_functions() {
    let binary = fs::read(env!("CARGO_BIN_EXE_tracer")).unwrap();
    let elf = Builder::read(&*binary).unwrap();
    let defined: Vec<String> = elf
        .symbols
        .iter()
        .filter(|symbol| symbol.st_type() == STT_FUNC && (symbol.section.is_some() || symbol.st_shndx != SHN_UNDEF))
        .map(|symbol| symbol.name.to_string())
        .collect();
    assert!(defined.iter().any(|name| name == "main"), "the binary has its symbols");
    for function in ["memcpy", "memmove", "memset", "memcmp"] {
        assert!(!defined.iter().any(|name| name == function), "{function} is defined in the binary");
    }
}
