//! Names of network namespaces.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{Flock, FlockArg},
    mount::{MntFlags, MsFlags, mount, umount2},
};

/// A name for a namespace, as `ip netns` gives it. There is one at a time, see [`no_names`].
pub(crate) struct Named {
    path: PathBuf,
    _only: Flock<File>,
}

/// While it is held no test names a namespace, not even one of another run beside this one.
pub(crate) fn no_names() -> Flock<File> {
    let file = File::create(std::env::temp_dir().join("tracer-tests-name-namespaces")).unwrap();
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap()
}

impl Named {
    /// For the calling thread's.
    pub(crate) fn new(name: &str) -> Self {
        let only = no_names();
        let directory = Path::new("/run/netns");
        fs::create_dir_all(directory).unwrap();
        let path = directory.join(name);
        fs::write(&path, "").unwrap();
        let named = Self { path, _only: only };
        let own = format!("/proc/self/task/{}/ns/net", nix::unistd::gettid());
        mount(Some(own.as_str()), &named.path, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        named
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // They fail only after another assertion did.
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
        let _ = fs::remove_file(&self.path);
    }
}
