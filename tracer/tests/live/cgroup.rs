//! A control group of a test's own.

use std::{fs, io, path::PathBuf};

/// A control group with one below it. Without processes it goes when this does.
pub(crate) struct Group {
    directory: PathBuf,
    /// In the hierarchy.
    pub(crate) path: String,
}

impl Group {
    pub(crate) fn new() -> io::Result<Self> {
        Self::named(&format!("tracer-test-{}", std::process::id()))
    }

    pub(crate) fn named(name: &str) -> io::Result<Self> {
        let root = mounted()?;
        let path = format!("/{name}");
        let directory = root.join(&path[1..]);
        fs::create_dir_all(directory.join("below"))?;
        Ok(Self { directory, path })
    }

    /// Moves a process to the group that is below this one.
    pub(crate) fn take_below(&self, pid: u32) {
        fs::write(self.directory.join("below/cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It fails only after another assertion did.
        let _ = fs::remove_dir(self.directory.join("below"));
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Where the unified hierarchy is: on a hybrid system not at `/sys/fs/cgroup`.
fn mounted() -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let unified = fields.into_iter().find(|words| words.get(2) == Some(&"cgroup2"));
    unified.map(|words| PathBuf::from(words[1])).ok_or_else(|| io::Error::other("cgroup2 is not mounted"))
}
