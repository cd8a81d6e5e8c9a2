//! The types of hooks, for aya to look up.

use std::collections::BTreeMap;

use aya::{Btf, BtfError, Endianness};

use crate::kernel::{btf::KernelBtf, probes::Hook};

// `enum` in include/uapi/linux/btf.h. A type of any of these kinds is three words: name, info, size or type.
const KIND_TYPEDEF: u32 = 8;
const KIND_FUNC: u32 = 12;
const KIND_FLOAT: u32 = 16;
const WORDS: usize = 3;
/// Where the kind is in the second word.
const KIND_SHIFT: u32 = 24;

const MAGIC: u32 = 0xeb9f;
const VERSION: u32 = 1;
const HEADER_BYTES: u32 = 24;

/// BTF in which each hook's type has the name and the id that it has in this kernel, and everything
/// else is left blank. All that aya does with a kernel's BTF is to look for those ids, and parsing all
/// of it for that takes longer, and more memory, than the rest of the start.
///
/// # Errors
/// If aya does not take what was made for it.
pub(crate) fn of(kernel: &KernelBtf, hooks: impl Iterator<Item = Hook>) -> Result<Btf, BtfError> {
    let named: BTreeMap<u32, (String, u32)> = hooks
        .filter_map(|hook| {
            let (name, kind) = match hook {
                // The type of a tracepoint's callback, see TRACE_EVENT in include/trace/bpf_probe.h.
                Hook::TpBtf(target) => (format!("btf_trace_{target}"), KIND_TYPEDEF),
                Hook::Fentry(target) | Hook::Fexit(target) => (target.to_owned(), KIND_FUNC),
                // The function that has the iterator's prototype, see kernel/bpf/bpf_iter.c.
                Hook::Iter(target) => (format!("bpf_iter_{target}"), KIND_FUNC),
                Hook::RawTp(_) | Hook::Tracepoint(..) | Hook::Kprobe(_) | Hook::Kretprobe(_) => return None,
            };
            let id = if kind == KIND_FUNC { kernel.function_id(&name) } else { kernel.typedef_id(&name) };
            Some((id?, (name, kind)))
        })
        .collect();

    let last = named.last_key_value().map_or(0, |(id, _)| *id);
    // Types are numbered from 1.
    let mut types = [0, KIND_FLOAT << KIND_SHIFT, 4].repeat(last as usize);
    let mut strings = vec![0];
    for (id, (name, kind)) in named {
        types[(id as usize - 1) * WORDS..][..WORDS].copy_from_slice(&[strings.len() as u32, kind << KIND_SHIFT, 0]);
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
    }
    let types_bytes = (types.len() * size_of::<u32>()) as u32;
    let header = [MAGIC | VERSION << 16, HEADER_BYTES, 0, types_bytes, types_bytes, strings.len() as u32];
    let mut bytes: Vec<u8> = header.iter().chain(&types).flat_map(|word| word.to_ne_bytes()).collect();
    bytes.append(&mut strings);
    Btf::parse(&bytes, Endianness::default())
}
