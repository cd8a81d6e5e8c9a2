//! BTF files, as `--btf` takes them.

use std::{fs::File, io::Write as _, os::fd::AsRawFd as _, path::PathBuf};

use nix::sys::memfd::{MFdFlags, memfd_create};
use tracer::{
    kernel::btf::{Error, KernelBtf},
    sink::foreign::Printable,
};
use tracer_ebpf::layout::{BITS, FIELDS};

use crate::{limit::Limit, plain::assert_plain};

/// Types are made of the file when they are asked for, one by one; names are found by an automaton, which is made.
const LIMIT: Limit = Limit { fixed: 8 << 20, per_byte: 64 };

/// Names that are asked for: of functions, tracepoints and enums.
pub(crate) const FUNCTIONS: [&str; 2] = ["tcp_v4_send_reset", "tcp_send_active_reset"];
pub(crate) const TRACEPOINT: &str = "inet_sock_set_state";
pub(crate) const ENUM: &str = "sk_rst_reason";

/// Any file is BTF of which everything can be asked, or refused.
pub fn check(bytes: &[u8]) {
    let mut file = File::from(memfd_create("btf", MFdFlags::MFD_CLOEXEC).expect("memory"));
    file.write_all(bytes).expect("memory");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    LIMIT.hold(bytes.len(), || match KernelBtf::load(&path) {
        Ok(btf) => ask(&btf, bytes.len()),
        Err(error @ Error::Unreadable { .. }) => assert_plain(&format!("{}", Printable(error)), "the error"),
        Err(error) => panic!("the file is there: {error}"),
    });
}

/// All that the loader asks.
fn ask(btf: &KernelBtf, length: usize) {
    let names = FIELDS.iter().filter_map(|field| field.path.split('.').next()).chain(FUNCTIONS);
    btf.look_up(names);
    assert!(!btf.is_own());
    for field in FIELDS {
        drop(btf.offset(field.path));
    }
    for bit in BITS {
        drop(btf.bit_offset(bit.path));
    }
    for field in FIELDS {
        drop(btf.size(field.path.split('.').next().unwrap_or_default()));
    }
    for function in FUNCTIONS {
        assert!(btf.function(function).is_none_or(|all| all.len() <= length));
        btf.function_id(function);
    }
    btf.typedef_id(&format!("btf_trace_{TRACEPOINT}"));
    btf.tracepoint(TRACEPOINT);
    assert!(btf.enumerators(ENUM).len() <= length);
}
