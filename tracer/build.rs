//! Embeds the eBPF programs that `cargo xtask build` made.
//!
//! Without them (a plain `cargo build`, a linter) the binary still builds and says at run time what is
//! missing: building the host side needs no eBPF toolchain.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use object::{
    File, Object as _, ObjectSection as _,
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};

fn main() {
    println!("cargo::rerun-if-env-changed=TRACER_EBPF_OBJECT");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("tracer-ebpf");
    let object = match env::var_os("TRACER_EBPF_OBJECT") {
        Some(path) => {
            let path = Path::new(&path);
            println!("cargo::rerun-if-changed={}", path.display());
            let whole =
                fs::read(path).unwrap_or_else(|error| panic!("TRACER_EBPF_OBJECT: {}: {error}", path.display()));
            let processor = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
            assert!(
                is_for(&whole, &processor),
                "TRACER_EBPF_OBJECT: the programs in {} are not for {processor}: their registers would be wrong ones",
                path.display()
            );
            without_dwarf(&whole).unwrap_or_else(|error| panic!("{} is no eBPF object: {error}", path.display()))
        }
        None => Vec::new(),
    };
    fs::write(out, object).expect("OUT_DIR is writable");
}

/// Whether the programs say that they are for this processor. What is no object is told by what reads it next.
fn is_for(object: &[u8], processor: &str) -> bool {
    let Ok(file) = File::parse(object) else { return true };
    let section = file.section_by_name("processor").and_then(|section| section.data().ok());
    section.is_some_and(|name| name == processor.as_bytes())
}

/// DWARF was needed to make the BTF, but is ten times as large and nobody reads it.
fn without_dwarf(object: &[u8]) -> object::build::Result<Vec<u8>> {
    let mut elf = Builder::read(object)?;
    for section in &mut elf.sections {
        section.delete = section.name.starts_with(b".debug_") || section.name.starts_with(b".rel.debug_");
    }
    // LLVM keeps the names of sections among those of symbols; the writer wants them apart.
    let names = elf.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    elf.write(&mut stripped)?;
    Ok(stripped)
}
