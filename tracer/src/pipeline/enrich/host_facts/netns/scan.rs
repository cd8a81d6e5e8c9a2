//! Searches this machine for network namespaces that have a name.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{event::Container, pipeline::enrich::host_facts::cgroup};

/// The initial namespace's inode since Linux 6.18 (`NET_NS_INIT_INO`, include/uapi/linux/nsfs.h). Before,
/// it was one like any other: those start at 0xf0000000 (`PROC_DYNAMIC_FIRST`, fs/proc/generic.c).
pub(super) const INITIAL: u32 = 0xefff_fff9;

/// `ip netns` binds them here, and so do CNI plugins and Podman.
const BY_NAME: [&str; 2] = ["/run/netns", "/var/run/netns"];
/// Docker's sandboxes.
const BY_DOCKER: &str = "/run/docker/netns";

/// A namespace that has a name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) name: Arc<str>,
    /// What stands for the namespace.
    pub(super) file: PathBuf,
}

/// All that have one, by inode: a name that someone chose, else the container, else a generated name.
pub(super) fn all() -> HashMap<u32, Found> {
    let mut all = HashMap::new();
    let (generated, chosen) =
        BY_NAME.iter().flat_map(of_directory).partition::<Vec<_>, _>(|(_, found)| is_generated(&found.name));
    for (inode, found) in chosen {
        all.entry(inode).or_insert(found);
    }
    of_containers(&mut all);
    for (inode, found) in generated.into_iter().chain(of_directory(BY_DOCKER)) {
        all.entry(inode).or_insert(found);
    }
    all
}

/// The initial namespace, if we may see it.
pub(super) fn initial() -> Option<u32> {
    inode(Path::new("/proc/1/ns/net"))
}

/// Whether the namespace with this inode is still the file's.
pub(super) fn is_still(file: &Path, expected: u32) -> bool {
    inode(file) == Some(expected)
}

/// The inode of a namespace; `None` for a file that is none, such as one whose mount is gone, or is in a
/// mount namespace that is not ours. All namespaces are of one file system (`nsfs_init`, fs/nsfs.c).
fn inode(file: &Path) -> Option<u32> {
    let (file, own) = (fs::metadata(file).ok()?, fs::metadata("/proc/self/ns/net").ok()?);
    (file.dev() == own.dev()).then(|| u32::try_from(file.ino()).ok())?
}

fn of_directory(directory: impl AsRef<Path>) -> Vec<(u32, Found)> {
    let mut files =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    // One namespace may have more names.
    files.sort_unstable();
    let found = |file: PathBuf| {
        let name = file.file_name()?.to_string_lossy().into();
        Some((inode(&file)?, Found { name, file }))
    };
    files.into_iter().filter_map(found).collect()
}

/// `cni-UUID` of CNI plugins, `netns-UUID` of Podman.
fn is_generated(name: &str) -> bool {
    let uuid = name.strip_prefix("cni-").or_else(|| name.strip_prefix("netns-"));
    uuid.is_some_and(|uuid| uuid.len() == 36 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
}

/// Adds those that have none yet, after the first process of a container in each.
fn of_containers(all: &mut HashMap<u32, Found>) {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).collect::<Vec<_>>();
    pids.sort_unstable();
    let initial = initial().unwrap_or(INITIAL);
    for pid in pids {
        let file = PathBuf::from(format!("/proc/{pid}/ns/net"));
        let Some(inode) = inode(&file) else { continue };
        if inode == initial || all.contains_key(&inode) {
            continue;
        }
        if let Some(container) = container(pid) {
            all.insert(inode, Found { name: container.short().into(), file });
        }
    }
}

/// The container of a process. Where cgroup v1 is in use, its hierarchies have the container's group.
fn container(pid: u32) -> Option<Container> {
    cgroup::paths_of_process(pid).iter().rev().find_map(|(_, path)| Container::of_path(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_chose() {
        assert!(is_generated("cni-7d4424e6-bb13-42f4-a47a-45a4828bf54d"));
        assert!(is_generated("netns-7d4424e6-bb13-42f4-a47a-45a4828bf54d"));
        assert!(!is_generated("cni-blue"));
        assert!(!is_generated("blue"));
    }

    #[test]
    fn only_namespaces_have_an_inode_here() {
        assert!(inode(Path::new("/proc/self/ns/net")).is_some());
        assert_eq!(inode(Path::new("/proc/self/cmdline")), None);
        assert_eq!(inode(Path::new("/proc/self/no-such-file")), None);
    }

    #[test]
    fn a_directory_names_namespaces_by_its_files_in_order() {
        let directory = tempfile::tempdir().unwrap();
        for (name, target) in [("blue", "/proc/self/ns/net"), ("also", "/proc/self/ns/net"), ("gone", "/dev/null")] {
            std::os::unix::fs::symlink(target, directory.path().join(name)).unwrap();
        }
        let found = of_directory(directory.path());
        let names = found.iter().map(|(inode, found)| (*inode, &*found.name)).collect::<Vec<_>>();
        let own = inode(Path::new("/proc/self/ns/net")).unwrap();
        assert_eq!(names, [(own, "also"), (own, "blue")]);
        assert!(is_still(&found[0].1.file, own));
        assert!(!is_still(&found[0].1.file, own ^ 1));
        assert!(of_directory(directory.path().join("none")).is_empty());
    }

    #[test]
    fn the_initial_namespace_is_never_among_those_of_containers() {
        let mut all = HashMap::new();
        of_containers(&mut all);
        assert!(!all.contains_key(&INITIAL));
        assert!(initial().is_none_or(|initial| !all.contains_key(&initial)));
    }
}
