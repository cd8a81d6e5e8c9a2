//! The pid namespace that the tracer is in: a container has one of its own, unless it was started with the host's.
//!
//! Ids that the user gives and sees are those of this namespace. The programs translate what the kernel calls its
//! tasks, so that all else here need not know.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// Inode of the initial one (`PROC_PID_INIT_INO` in include/linux/proc_ns.h).
const INITIAL: u32 = 0xefff_fffc;

/// Its inode, unless it is the initial one.
pub(crate) fn inode() -> Option<u32> {
    let inode = fs::metadata("/proc/self/ns/pid").ok()?.ino();
    u32::try_from(inode).ok().filter(|&inode| inode != INITIAL)
}

/// `/proc` shows processes by the ids of this namespace, and not by those of another one that it was mounted in.
pub(crate) fn has_proc() -> bool {
    fs::read_link("/proc/self").is_ok_and(|own| own == Path::new(&std::process::id().to_string()))
}

/// What differs from a run in the initial one, a sentence each.
pub(crate) fn notes() -> Vec<String> {
    let mut notes = Vec::new();
    if inode().is_some() {
        notes.push(
            "the tracer runs in a pid namespace of its own: it shows the process ids of that namespace; a process \
             outside is shown as host:ID, by its id in the initial namespace, and its sockets opened before the trace \
             are unknown"
                .to_owned(),
        );
    }
    if !has_proc() {
        notes.push(
            "/proc belongs to another pid namespace than the tracer: command lines are known only for processes that were \
             seen at work, and ps shows other ids than the tracer"
                .to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_nothing_to_note_where_all_is_one() {
        assert!(has_proc());
        assert_eq!(notes().len(), usize::from(inode().is_some()));
    }
}
