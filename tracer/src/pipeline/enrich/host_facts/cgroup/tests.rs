use super::*;

fn mount(point: &str, root: &str) -> Mount {
    Mount { point: point.into(), root: root.into() }
}

/// The own group and its id, if it is in sight.
fn own(mount: &Mount) -> Option<(u64, String)> {
    let (_, path) = paths_of_process(std::process::id()).into_iter().find(|&(unified, _)| unified)?;
    Some((fs::metadata(mount.directory(&path)?).ok()?.ino(), path))
}

#[test]
fn directories_are_below_the_mount() {
    let whole = mount("/sys/fs/cgroup", "/");
    assert_eq!(whole.directory("/a/b"), Some("/sys/fs/cgroup/a/b".into()));
    assert_eq!(whole.directory("/"), Some("/sys/fs/cgroup/".into()));
    assert_eq!(whole.directory("/../a"), None, "outside of our cgroup namespace");
    let part = mount("/mnt", "/a");
    assert_eq!((part.directory("/a/b"), part.directory("/ab")), (Some("/mnt/b".into()), None));
    let outer = mount("/mnt", "/..");
    assert_eq!(outer.directory("/../b"), Some("/mnt/b".into()));
}

#[test]
fn the_mount_that_shows_most_is_taken() {
    let mounts = ["/a/b", "/", "/../..", "/..", "/a"].map(|root| mount("/mnt", root));
    let most = |mounts: &[Mount]| mounts.iter().min_by_key(|mount| mount.depth()).unwrap().root.clone();
    assert_eq!(most(&mounts), Path::new("/../.."));
    assert_eq!(most(&mounts[..2]), Path::new("/"));
}

/// A user who mounts a file system chooses where, and that need not be text.
#[test]
fn a_mount_that_is_no_text_hides_no_other() {
    let mounts = b"36 25 0:32 / /home/eve/\xff\xfe rw,nosuid - fuse eve rw\n\
        nonsense\n\
        30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    let found = Mount::find_in(mounts).unwrap();
    assert_eq!((found.point.as_path(), found.root.as_path()), (Path::new("/sys/fs/cgroup"), Path::new("/")));
}

#[test]
fn a_group_whose_name_is_no_text_hides_no_other_hierarchy() {
    let paths = paths(&String::from_utf8_lossy(b"4:memory:/docker\n0::/user.slice/\xff:x\n"));
    assert_eq!(paths, [(false, "/docker".to_owned()), (true, "/user.slice/\u{fffd}:x".to_owned())]);
}

#[test]
fn paths_are_those_of_the_hierarchy() {
    let whole = mount("/sys/fs/cgroup", "/");
    assert_eq!(whole.path(Path::new("/sys/fs/cgroup/a/b")).unwrap(), "/a/b");
    assert_eq!(whole.path(Path::new("/sys/fs/cgroup")).unwrap(), "/");
    assert_eq!(whole.path(Path::new("/")), None, "out of sight");
    assert_eq!(mount("/mnt", "/a").path(Path::new("/mnt/b")).unwrap(), "/a/b");
}

#[test]
fn the_own_group_is_found_by_process_and_told_once() {
    let Some((id, path)) = Mount::find().as_ref().and_then(own) else { return };
    let (mut cgroups, pid, mut told) = (Cgroups::default(), std::process::id(), 0);
    assert_eq!(cgroups.get(id, Some(pid), |path| path, |_| told += 1).unwrap().path, path);
    assert_eq!(cgroups.get(id, Some(pid), |path| path, |_| told += 1).unwrap().path, path);
    assert_eq!(told, 1);
}

#[test]
fn a_process_of_another_group_does_not_mislead() {
    let Some((id, _)) = Mount::find().as_ref().and_then(own) else { return };
    assert_eq!(Cgroups::default().get(id ^ 1 << 40, Some(std::process::id()), |path| path, |_| unreachable!()), None);
}

#[test]
fn a_group_without_processes_is_found_by_handle() {
    struct Removed(PathBuf);
    impl Drop for Removed {
        fn drop(&mut self) {
            let _ = fs::remove_dir(&self.0);
        }
    }
    let Some(mount) = Mount::find() else { return };
    let Some((own_id, own_path)) = own(&mount) else { return };
    let name = format!("tracer-test-{}", std::process::id());
    let Some(directory) = mount.directory(&own_path).map(|own| own.join(&name)) else { return };
    // Not without root, nor where the hierarchy is read-only.
    if !nix::unistd::geteuid().is_root() || fs::create_dir(&directory).is_err() {
        return;
    }
    let directory = Removed(directory);
    let id = fs::metadata(&directory.0).unwrap().ino();
    let Ok(file) = File::open(&mount.point) else { return };
    // Root may lack the capability.
    if handle::open(&file, own_id).is_none() {
        return;
    }
    let found = Cgroups::default().get(id, None, |path| path, |_| {}).unwrap();
    assert_eq!(Path::new(&found.path), Path::new(&own_path).join(&name));
    drop(directory);
    assert_eq!(Cgroups::default().get(id, None, |path| path, |_| {}), None, "it is gone");
}
