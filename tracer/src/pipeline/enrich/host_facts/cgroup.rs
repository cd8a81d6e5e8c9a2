//! Control groups of the unified hierarchy by id.
//!
//! The id is that of the kernfs node (`cgroup_id`, include/linux/cgroup.h), which on 64-bit machines is
//! the inode number of the directory too (`kernfs_ino`, include/linux/kernfs.h). It is never reused.

use std::{
    cmp::Reverse,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use procfs::process::MountInfo;

use super::cache::Cache;
use crate::event::Container;

mod handle;

/// A control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Its path, seen from this process's cgroup namespace: one outside of it starts with `/..`.
    pub path: String,
    /// The container that it is, or is in.
    pub container: Option<Container>,
}

impl Cgroup {
    /// The group at `path`.
    pub(super) fn at(path: String) -> Self {
        Self { container: Container::of_path(&path), path }
    }
}

/// The groups of this machine.
#[derive(Default)]
pub(super) struct Cgroups {
    known: Cache<u64, Arc<Cgroup>>,
    mount: Option<Mount>,
}

impl Cgroups {
    /// The group with this id; `pid` may be in it. Its path is as `mask` leaves it. Tells `learned` what was not known
    /// before.
    pub(super) fn get(
        &mut self,
        id: u64,
        pid: Option<u32>,
        mask: impl FnOnce(String) -> String,
        learned: impl FnOnce(&Cgroup),
    ) -> Option<Arc<Cgroup>> {
        let Self { known, mount } = self;
        known.get(id, || {
            if mount.is_none() {
                *mount = Mount::find();
            }
            let mount = mount.as_ref()?;
            let by_process = pid.and_then(|pid| mount.path_of_process(id, pid));
            let path = by_process.or_else(|| mount.path_by_handle(id))?;
            let cgroup = Arc::new(Cgroup::at(mask(path)));
            learned(&cgroup);
            Some(cgroup)
        })
    }
}

/// Paths in `/proc/PID/cgroup`: of the unified hierarchy (`0::PATH`), and of the others.
pub(super) fn paths_of_process(pid: u32) -> Vec<(bool, String)> {
    // Whoever may make groups chooses their names, which need not be UTF-8.
    paths(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cgroup")).unwrap_or_default()))
}

/// The same of that file's text.
pub(super) fn paths(text: &str) -> Vec<(bool, String)> {
    let path = |line: &str| {
        // A path may have colons, as in `SLICE:cri-containerd:ID`.
        let mut fields = line.splitn(3, ':');
        let (hierarchy, _controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        Some((hierarchy == "0", path.to_owned()))
    };
    text.lines().filter_map(path).collect()
}

/// Where a group is looked for, by a process's file `cgroup` and a file `mountinfo`. It is below the mount, whatever they
/// say.
pub(super) fn directory_of(cgroup: &str, mountinfo: &[u8]) -> Option<(PathBuf, PathBuf)> {
    let mount = Mount::find_in(mountinfo)?;
    let (_, path) = paths(cgroup).into_iter().find(|&(unified, _)| unified)?;
    Some((mount.directory(&path)?, mount.point))
}

/// The id of the group at a path of the unified hierarchy.
pub(super) fn id_at(path: &str) -> Option<u64> {
    let directory = Mount::find()?.directory(path)?;
    Some(fs::metadata(directory).ok()?.ino())
}

/// Where the unified hierarchy is mounted.
struct Mount {
    point: PathBuf,
    /// The group that is its root: `/`, unless it is a bind mount, or of another cgroup namespace.
    root: PathBuf,
}

impl Mount {
    /// On a hybrid system it is at `/sys/fs/cgroup/unified`, so the place is looked up.
    fn find() -> Option<Self> {
        Self::find_in(&fs::read("/proc/self/mountinfo").ok()?)
    }

    /// Among the mounts of that file. Whoever may mount anything, as by FUSE, chooses bytes of a line: one that makes no
    /// sense is no reason to do without the others.
    fn find_in(mountinfo: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(mountinfo);
        let mounts = text.lines().filter_map(|line| MountInfo::from_line(line).ok());
        let unified = mounts.filter(|mount| mount.fs_type == "cgroup2");
        unified.map(Self::from).min_by_key(Self::depth)
    }

    /// The one that shows most is first: of an outer namespace (`/..`), then of ours (`/`), then of a part.
    fn depth(&self) -> (Reverse<usize>, usize) {
        let outer = self.root.components().filter(|part| *part == Component::ParentDir).count();
        (Reverse(outer), self.root.components().count())
    }

    /// The path of a process that is in the group now. It is relative to our cgroup namespace
    /// (`proc_cgroup_show`, kernel/cgroup/cgroup.c), as the mount's root is, and starts with `/..` outside of it.
    fn path_of_process(&self, id: u64, pid: u32) -> Option<String> {
        let (_, path) = paths_of_process(pid).into_iter().find(|&(unified, _)| unified)?;
        (fs::metadata(self.directory(&path)?).ok()?.ino() == id).then_some(path)
    }

    /// A group's directory, if it is below the mount.
    fn directory(&self, path: &str) -> Option<PathBuf> {
        let below = Path::new(path).strip_prefix(&self.root).ok()?;
        let plain = below.components().all(|part| matches!(part, Component::Normal(_)));
        plain.then(|| self.point.join(below))
    }

    /// The path of a group that has no process any more, or none that we know.
    fn path_by_handle(&self, id: u64) -> Option<String> {
        let directory = handle::open(&File::open(&self.point).ok()?, id)?;
        self.path(&handle::path(&directory)?)
    }

    /// The path of a group from that of its directory. One that the mount does not reach, as from inside of
    /// a container, has none: it shows as `/` (`prepend_path`, fs/d_path.c).
    fn path(&self, directory: &Path) -> Option<String> {
        let below = directory.strip_prefix(&self.point).ok()?;
        // Joining nothing would add a slash.
        let path = if below.as_os_str().is_empty() { self.root.clone() } else { self.root.join(below) };
        path.into_os_string().into_string().ok()
    }
}

impl From<MountInfo> for Mount {
    fn from(mount: MountInfo) -> Self {
        Self { point: mount.mount_point, root: mount.root.into() }
    }
}

#[cfg(test)]
mod tests;
