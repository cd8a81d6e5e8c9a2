//! A control group whose processes may have so much memory and no more.

use std::{fs, io, path::PathBuf};

use anyhow::Context as _;

use crate::causes::Lacks;

/// The group. It goes when this does.
pub(super) struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// `limit`: in bytes.
    pub(super) fn new(limit: u64) -> anyhow::Result<Self> {
        let (root, file) = controller()?;
        let path = root.join(format!("tracer-test-memory-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let group = Self(path);
        fs::write(group.0.join(file), limit.to_string()).context("cannot limit a control group's memory")?;
        // Where there is swap, and it is counted: else it would grow into that.
        for swap in ["memory.swap.max", "memory.swappiness"] {
            let _ = fs::write(group.0.join(swap), "0");
        }
        Ok(group)
    }

    /// Takes a process in.
    pub(super) fn take(&self, pid: u32) -> anyhow::Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).context("the control group takes no process")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // Its process may be on its way out still; then it goes with the machine.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Where memory is limited, and by which file: by a hierarchy of its own, or by the unified one.
fn controller() -> anyhow::Result<(PathBuf, &'static str)> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let has = |kind, option| {
        let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let is_one = |words: &Vec<&str>| words[2] == kind && words[3].split(',').any(|one| one == option);
        fields.into_iter().find(is_one).map(|words| PathBuf::from(words[1]))
    };
    if let Some(root) = has("cgroup", "memory") {
        return Ok((root, "memory.limit_in_bytes"));
    }
    let unified = has("cgroup2", "rw").ok_or(Lacks("no control group limits memory here"))?;
    match fs::write(unified.join("cgroup.subtree_control"), "+memory") {
        Ok(()) => Ok((unified, "memory.max")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error.into()),
        Err(_) => Err(Lacks("no control group limits memory here").into()),
    }
}
