//! Files of `/proc`: the kernel writes them, with names in them that strangers chose.

use std::path::Component;

use tracer::{
    event::Container,
    host::{addresses, snmp},
    pipeline::enrich::{
        host_facts::{join_arguments, parsers},
        symbols::Table,
    },
};

use crate::limit::Limit;

const LIMIT: Limit = Limit { fixed: 1 << 20, per_byte: 64 };

/// Files in one input are apart by this; the parts before the first and after it are given to readers of two files.
pub(crate) const APART: &[u8] = b"\n====\n";

/// Any text is each of the files.
pub fn check(bytes: &[u8]) {
    LIMIT.hold(bytes.len(), || {
        let at = bytes.windows(APART.len()).position(|part| part == APART);
        let (first, second) = at.map_or((bytes, bytes), |at| (&bytes[..at], &bytes[at + APART.len()..]));
        let [text, other] = [first, second].map(String::from_utf8_lossy);
        control_groups(&text, second);
        if let Some((comm, _)) = parsers::stat(bytes) {
            assert!(comm.len() <= text.len() + other.len() + APART.len());
        }
        addresses::of_text(&text, &other);
        snmp::counter(&text, "TcpExt", "ListenOverflows");
        symbols(bytes);
        arguments(bytes);
    });
}

/// Nobody is led out of the mount.
fn control_groups(cgroup: &str, mountinfo: &[u8]) {
    if let Some((directory, mount)) = parsers::cgroup_directory(cgroup, mountinfo) {
        let below = directory.strip_prefix(&mount).expect("below the mount");
        assert!(below.components().all(|part| matches!(part, Component::Normal(_))), "{}", directory.display());
    }
    for line in cgroup.lines() {
        if let Some(container) = Container::of_path(line) {
            assert!(container.id.len() <= 3 * line.len(), "a byte that is no text becomes three");
            assert!(container.short().contains(':'));
        }
    }
}

/// `/proc/kallsyms`.
fn symbols(bytes: &[u8]) {
    let table = Table::read(bytes).expect("memory can be read");
    for address in [0, 1, 0x1000, 0xffff_ffff_8100_0000, u64::MAX] {
        assert!(table.find(address).is_none_or(|name| !name.contains(|c: char| c.is_ascii_whitespace())));
    }
}

/// `/proc/PID/cmdline`: a shell splits what is shown into the same arguments, unless it is a title.
fn arguments(bytes: &[u8]) {
    let line = join_arguments(bytes);
    assert!(line.len() <= 8 * bytes.len() + 2, "each byte may be replaced, and quoted");
    assert!(!line.contains('\0'));
}
