//! What this kernel looks like inside, from its own BTF: where fields are, which arguments functions
//! have, what enumerators are called. Nothing here depends on a kernel's version.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use btf_rs::{Backend, Btf, BtfType, Type};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Where the running kernel publishes its BTF (`CONFIG_DEBUG_INFO_BTF`).
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// A kernel's types.
pub struct KernelBtf {
    btf: Btf,
    path: PathBuf,
    /// Ids by name: finding one takes a walk through all of some hundred thousand.
    found: RefCell<HashMap<String, Vec<u32>>>,
}

/// The BTF could not be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error(
        "{VMLINUX} is missing: this kernel was built without CONFIG_DEBUG_INFO_BTF; \
         use a distribution kernel (5.10 or later) that has it"
    )]
    Missing,
    /// Where it would be is not mounted.
    #[error("/sys is not mounted, where the kernel's BTF is: `mount -t sysfs sysfs /sys`")]
    NoSys,
    /// It could not be read or parsed.
    #[error("cannot read the kernel's BTF at {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// A field could not be located.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No struct of that name.
    #[error("struct {0} is unknown to this kernel")]
    NoStruct(String),
    /// The struct has no such member.
    #[error("{0} has no member {1}")]
    NoMember(String, String),
    /// The path goes on behind a member that is not a struct.
    #[error("{0} is not a struct")]
    NotAStruct(String),
    /// The member does not start at a byte.
    #[error("{0} is a bit field")]
    BitField(String),
}

/// A function's parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; tracepoints have none.
    pub name: String,
    /// The name of its type, without qualifiers and pointers ("sk_rst_reason", "sk_buff").
    pub type_name: String,
}

/// Types that may be nested: as many as the kernel allows (`MAX_RESOLVE_DEPTH`, kernel/bpf/btf.c). Those of a file may go
/// round in circles.
const DEEPEST: usize = 32;
/// Members that are looked at for one: the largest struct has some hundred, and nested ones may be the same over and over.
const MOST_MEMBERS: usize = 10_000;

/// How far the search for a member has come.
#[derive(Default)]
struct Walk {
    depth: usize,
    members: usize,
}

impl Walk {
    /// To the next member, unless it was too many.
    fn step(&mut self) -> Option<()> {
        self.members += 1;
        (self.members <= MOST_MEMBERS).then_some(())
    }

    /// Into a member, unless it is too deep.
    fn deeper<T>(&mut self, search: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        let found = if self.depth <= DEEPEST { search(self) } else { None };
        self.depth -= 1;
        found
    }
}

fn is_qualifier(of: &Type) -> bool {
    matches!(of, Type::Const(_) | Type::Volatile(_) | Type::Restrict(_) | Type::TypeTag(_))
}

/// Bytes that are read of a BTF file at most: a kernel's has some 10 MiB, and a device may have no end.
const LARGEST: u64 = 64 << 20;

/// A mapping of a copy in memory: it is much cheaper than to parse all types to find a few.
fn mapped_copy(path: &Path) -> anyhow::Result<Btf> {
    let mut copy = File::from(memfd_create("btf", MFdFlags::MFD_CLOEXEC)?);
    if io::copy(&mut io::Read::take(File::open(path)?, LARGEST + 1), &mut copy)? > LARGEST {
        anyhow::bail!("it is larger than {} MiB, which no kernel's types are", LARGEST >> 20);
    }
    Ok(Btf::from_file_with_backend(format!("/proc/self/fd/{}", copy.as_raw_fd()), Backend::Mmap)?)
}

impl KernelBtf {
    /// Reads a BTF file.
    ///
    /// # Errors
    /// If the file is missing, cannot be read, or is not BTF.
    pub fn load(path: &Path) -> Result<Self, Error> {
        if path == Path::new(VMLINUX) && !path.exists() {
            return Err(if Path::new("/sys/kernel").exists() { Error::Missing } else { Error::NoSys });
        }
        // The kernel's own file can be mapped from 6.16 on.
        let mapped = Btf::from_file_with_backend(path, Backend::Mmap).or_else(|_| mapped_copy(path));
        mapped
            .map(|btf| Self { btf, path: path.to_owned(), found: RefCell::default() })
            .map_err(|error| Error::Unreadable { path: path.to_owned(), reason: error.to_string() })
    }

    /// Finds these names in one pass over all types; a name that is asked for later takes a pass of its own.
    pub fn look_up(&self, names: impl Iterator<Item = &'static str>) {
        let mut found: HashMap<String, Vec<u32>> = names.map(|name| (name.to_owned(), Vec::new())).collect();
        let any = found.keys().map(|name| regex::escape(name)).collect::<Vec<_>>().join("|");
        // Whatever goes wrong here goes wrong again, and is told, where one of the names is needed.
        let Ok(any) = regex::Regex::new(&format!("^(?:{any})$")) else { return };
        for id in self.btf.resolve_ids_by_regex(&any).unwrap_or_default() {
            let name = self.btf.resolve_type_by_id(id).ok().and_then(|found| {
                let named = found.as_btf_type()?;
                self.btf.resolve_name(named).ok()
            });
            if let Some(ids) = name.and_then(|name| found.get_mut(&name)) {
                ids.push(id);
            }
        }
        self.found.borrow_mut().extend(found);
    }

    /// Whether it is the running kernel's own, so that its ids mean something to the kernel.
    pub fn is_own(&self) -> bool {
        self.path == Path::new(VMLINUX)
    }

    /// The id of a function's type.
    pub fn function_id(&self, name: &str) -> Option<u32> {
        self.found(name).find(|(_, found)| matches!(found, Type::Func(_))).map(|(id, _)| id)
    }

    /// The id of a typedef.
    pub fn typedef_id(&self, name: &str) -> Option<u32> {
        self.found(name).find(|(_, found)| matches!(found, Type::Typedef(_))).map(|(id, _)| id)
    }

    /// The offset in bytes of the member that `path` names: `struct.member[.member...]`. Members of
    /// anonymous structs and unions belong to the struct around them, as in C.
    ///
    /// # Errors
    /// A [`FieldError`] that names the part that this kernel does not have.
    pub fn offset(&self, path: &str) -> Result<u32, FieldError> {
        let bits = self.bit_offset(path)?;
        if bits % 8 == 0 { Ok(bits / 8) } else { Err(FieldError::BitField(path.to_owned())) }
    }

    /// Offset of a bit field in bits, counted from the lowest bit of a byte (little-endian machines only).
    ///
    /// # Errors
    /// As [`Self::offset`].
    pub fn bit_offset(&self, path: &str) -> Result<u32, FieldError> {
        let mut parts = path.split('.');
        let name = parts.next().unwrap_or_default();
        let mut current = self.structure(name)?;
        let mut walked = name.to_owned();
        let mut bits = 0;
        let mut parts = parts.peekable();
        while let Some(part) = parts.next() {
            let found = self.member(&current, part, bits, &mut Walk::default());
            let (offset, member) = found.ok_or_else(|| FieldError::NoMember(walked.clone(), part.to_owned()))?;
            bits = offset;
            walked = format!("{walked}.{part}");
            if parts.peek().is_some() {
                let Some(Type::Struct(inner) | Type::Union(inner)) = member else {
                    return Err(FieldError::NotAStruct(walked));
                };
                current = inner;
            }
        }
        Ok(bits)
    }

    /// The size in bytes of a struct or union.
    ///
    /// # Errors
    /// If this kernel does not have it.
    pub fn size(&self, name: &str) -> Result<u32, FieldError> {
        // Nothing is larger than what the kernel itself can address.
        u32::try_from(self.structure(name)?.size()).map_err(|_| FieldError::NoStruct(name.to_owned()))
    }

    /// The parameters of a kernel function, `None` if the kernel has no such function (any more).
    pub fn function(&self, name: &str) -> Option<Vec<Parameter>> {
        let function = self.types(name).find_map(|found| match found {
            Type::Func(function) => Some(function),
            _ => None,
        })?;
        self.parameters(self.btf.resolve_chained_type(&function).ok()?)
    }

    /// Parameters of a function that may be in a module; `None` if the module is not loaded.
    pub fn function_of(&self, name: &str, module: &str) -> Option<Vec<Parameter>> {
        self.function(name).or_else(|| {
            let path = Path::new(VMLINUX).with_file_name(module);
            let btf = Btf::from_split_file(&path, &self.btf).ok()?;
            Self { btf, path, found: RefCell::default() }.function(name)
        })
    }

    /// The parameters of a tracepoint as a raw or BTF-typed program gets them.
    pub fn tracepoint(&self, name: &str) -> Option<Vec<Parameter>> {
        // typedef void (*btf_trace_NAME)(void *, ARGS): the first is the tracepoint's own data.
        let typedef = self.types(&format!("btf_trace_{name}")).find_map(|found| match found {
            Type::Typedef(typedef) => Some(typedef),
            _ => None,
        })?;
        let pointer = self.btf.resolve_chained_type(&typedef).ok()?;
        let prototype = self.btf.resolve_chained_type(pointer.as_btf_type()?).ok()?;
        self.parameters(prototype).map(|mut all| all.split_off(1.min(all.len())))
    }

    /// The enumerators of an enum as (value, name), empty if the kernel has no such enum.
    pub fn enumerators(&self, name: &str) -> Vec<(u32, String)> {
        let Some(found) = self.types(name).find_map(|found| match found {
            Type::Enum(found) => Some(found),
            _ => None,
        }) else {
            return Vec::new();
        };
        let named = |member| Some((btf_rs::EnumMember::val(member), self.btf.resolve_name(member).ok()?));
        found.members.iter().filter_map(named).collect()
    }

    #[cfg(test)]
    pub(crate) fn asked_for(&self) -> Vec<String> {
        self.found.borrow().keys().cloned().collect()
    }

    fn structure(&self, name: &str) -> Result<btf_rs::Struct, FieldError> {
        let found = self.types(name).find_map(|found| match found {
            Type::Struct(found) | Type::Union(found) => Some(found),
            _ => None,
        });
        found.ok_or_else(|| FieldError::NoStruct(name.to_owned()))
    }

    fn types(&self, name: &str) -> impl Iterator<Item = Type> {
        self.found(name).map(|(_, found)| found)
    }

    fn found(&self, name: &str) -> impl Iterator<Item = (u32, Type)> {
        let mut found = self.found.borrow_mut();
        let resolve = || self.btf.resolve_ids_by_name(name).unwrap_or_default();
        let ids = found.entry(name.to_owned()).or_insert_with(resolve).clone();
        ids.into_iter().filter_map(|id| Some((id, self.btf.resolve_type_by_id(id).ok()?)))
    }

    /// The offset in bits and the type of a member of a struct that begins at `start`, looked for in anonymous members
    /// too.
    fn member(&self, parent: &btf_rs::Struct, name: &str, start: u32, walk: &mut Walk) -> Option<(u32, Option<Type>)> {
        for member in &parent.members {
            walk.step()?;
            let member_name = self.btf.resolve_name(member).unwrap_or_default();
            // Nothing is beyond what the kernel itself can address.
            let offset = || start.checked_add(member.bit_offset());
            if member_name == name {
                return Some((offset()?, self.strip(member)));
            }
            if member_name.is_empty()
                && let Some(Type::Struct(inner) | Type::Union(inner)) = self.strip(member)
                && let Some(found) = walk.deeper(|walk| self.member(&inner, name, offset()?, walk))
            {
                return Some(found);
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn strip(&self, of: &dyn BtfType) -> Option<Type> {
        self.behind(of, |it| matches!(it, Type::Typedef(_)) || is_qualifier(it))
    }

    /// The first type on the way from this one that is no such wrapping.
    fn behind(&self, of: &dyn BtfType, wraps: impl Fn(&Type) -> bool) -> Option<Type> {
        let mut current = self.btf.resolve_chained_type(of).ok()?;
        for _ in 0..DEEPEST {
            if !wraps(&current) {
                return Some(current);
            }
            current = self.btf.resolve_chained_type(current.as_btf_type()?).ok()?;
        }
        None
    }

    fn parameters(&self, prototype: Type) -> Option<Vec<Parameter>> {
        let Type::FuncProto(prototype) = prototype else { return None };
        let described = |parameter: &btf_rs::Parameter| Parameter {
            name: self.btf.resolve_name(parameter).unwrap_or_default(),
            type_name: self.base_name(parameter).unwrap_or_default(),
        };
        Some(prototype.parameters.iter().map(described).collect())
    }

    /// The name of the type behind pointers, qualifiers and (unlike [`Self::strip`]) no typedefs.
    fn base_name(&self, of: &dyn BtfType) -> Option<String> {
        let behind = self.behind(of, |it| matches!(it, Type::Ptr(_)) || is_qualifier(it))?;
        self.btf.resolve_name(behind.as_btf_type()?).ok()
    }
}
