//! The modules that the tests need, with those that they need in turn, in the order of loading.
//!
//! Kernel packages come without `modules.dep`, which depmod makes at installation, so that the
//! dependencies are read from the modules.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use elf::{ElfBytes, endian::AnyEndian};

/// What the tests cannot do without.
const REQUIRED: [&str; 4] = ["tun", "nf_tables", "inet_diag", "tcp_diag"];

/// What some tests use where it is there.
const OPTIONAL: [&str; 7] =
    ["veth", "dummy", "sch_netem", "nft_counter", "nft_reject_inet", "nft_reject_ipv4", "nft_reject_ipv6"];

/// A kernel module, ready to be loaded.
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) image: Vec<u8>,
}

/// Collects the modules from a kernel's `lib/modules/RELEASE`.
pub(crate) fn collect(directory: &Path) -> Result<Vec<Module>> {
    let mut collection = Collection { files: HashMap::new(), done: built_in(directory)?, modules: Vec::new() };
    index(&directory.join("kernel"), &mut collection.files)?;
    for name in REQUIRED {
        collection.add(name)?;
    }
    for name in OPTIONAL {
        if collection.files.contains_key(name) {
            collection.add(name)?;
        }
    }
    Ok(collection.modules)
}

struct Collection {
    files: HashMap<String, PathBuf>,
    /// What is built in or collected.
    done: HashSet<String>,
    modules: Vec<Module>,
}

impl Collection {
    fn add(&mut self, name: &str) -> Result<()> {
        if !self.done.insert(name.to_owned()) {
            return Ok(());
        }
        let Some(path) = self.files.get(name) else {
            bail!("this kernel lacks the module {name}, which the tests need");
        };
        let image = read(path)?;
        let needed = dependencies(&image).with_context(|| format!("{} is no module", path.display()))?;
        for name in &needed {
            self.add(name)?;
        }
        self.modules.push(Module { name: name.to_owned(), image });
        Ok(())
    }
}

/// Finds all modules below a directory.
fn index(directory: &Path, files: &mut HashMap<String, PathBuf>) -> Result<()> {
    let failed = || format!("cannot list {}", directory.display());
    for entry in fs::read_dir(directory).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.is_dir() {
            index(&path, files)?;
        } else if let Some(name) = module_name(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// The names of the modules that are part of the kernel.
fn built_in(directory: &Path) -> Result<HashSet<String>> {
    let path = directory.join("modules.builtin");
    let list = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(list.lines().filter_map(|line| module_name(Path::new(line))).collect())
}

/// `kernel/arch/x86/crypto/crc32c-intel.ko.xz` is `crc32c_intel`: files may be named with dashes.
fn module_name(path: &Path) -> Option<String> {
    let (name, _) = path.file_name()?.to_str()?.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = || format!("cannot read {}", path.display());
    let bytes = fs::read(path).with_context(failed)?;
    match path.extension().and_then(|it| it.to_str()) {
        Some("ko") => Ok(bytes),
        Some("xz") => {
            let mut image = Vec::new();
            lzma_rs::xz_decompress(&mut &bytes[..], &mut image).with_context(failed)?;
            Ok(image)
        }
        _ => bail!("{} is compressed, but not by xz: unpack it", path.display()),
    }
}

/// The modules that a module needs, from the `depends=` in its `.modinfo`.
fn dependencies(image: &[u8]) -> Result<Vec<String>> {
    let file = ElfBytes::<AnyEndian>::minimal_parse(image)?;
    let header = file.section_header_by_name(".modinfo")?.context("no .modinfo")?;
    let (info, _) = file.section_data(&header)?;
    Ok(parse_depends(info))
}

/// `.modinfo` is a sequence of `name=value`, each ended by a zero byte.
fn parse_depends(info: &[u8]) -> Vec<String> {
    let fields = info.split(|byte| *byte == 0);
    let lists = fields.filter_map(|field| field.strip_prefix(b"depends="));
    let names = lists.flat_map(|list| list.split(|byte| *byte == b','));
    names.filter(|name| !name.is_empty()).map(|name| String::from_utf8_lossy(name).replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_with_underscores() {
        let name = |path| module_name(Path::new(path));
        assert_eq!(name("kernel/a/crc32c-intel.ko.xz").as_deref(), Some("crc32c_intel"));
        assert_eq!(name("kernel/drivers/net/tun.ko").as_deref(), Some("tun"));
        assert_eq!(name("modules.order"), None);
    }

    #[test]
    fn dependencies_are_read_from_modinfo() {
        let info = b"license=GPL\0depends=nfnetlink,libcrc32c\0name=nf_tables\0";
        assert_eq!(parse_depends(info), ["nfnetlink", "libcrc32c"]);
        assert!(parse_depends(b"depends=\0name=nfnetlink\0").is_empty());
    }
}
