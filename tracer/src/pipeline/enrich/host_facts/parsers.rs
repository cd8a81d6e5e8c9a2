//! What is read from files of `/proc` that name what strangers chose: each reader, from text to what is made of it. For
//! tests that try any text.

use std::path::PathBuf;

use super::{cgroup, older};

/// Where the control group of a process is looked for, and the mount that it is below: by its `/proc/PID/cgroup`, and by
/// `/proc/self/mountinfo`.
pub fn cgroup_directory(cgroup: &str, mountinfo: &[u8]) -> Option<(PathBuf, PathBuf)> {
    cgroup::directory_of(cgroup, mountinfo)
}

/// Name and start of a process, by its `/proc/PID/stat`.
pub fn stat(stat: &[u8]) -> Option<(String, u64)> {
    older::parse(stat).map(|stat| (stat.comm, stat.start))
}
