//! Names of network namespaces.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A name for a namespace, as `ip netns` gives it.
pub(crate) struct Named(PathBuf);

impl Named {
    /// For the calling thread's.
    pub(crate) fn new(name: &str) -> Self {
        let directory = Path::new("/run/netns");
        fs::create_dir_all(directory).unwrap();
        let file = directory.join(name);
        fs::write(&file, "").unwrap();
        let named = Self(file);
        let own = format!("/proc/self/task/{}/ns/net", nix::unistd::gettid());
        mount(Some(own.as_str()), &named.0, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        named
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // They fail only after another assertion did.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
        let _ = fs::remove_file(&self.0);
    }
}
