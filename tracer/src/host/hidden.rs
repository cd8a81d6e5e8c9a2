//! Processes that `/proc` does not show.

use procfs::{
    FromRead as _,
    process::{MountInfo, MountInfos},
};

/// Where the kernel tells of processes.
const PROC: &str = "/proc";

/// `/proc` is mounted so that it shows other users' processes to nobody who may not trace them (`hidepid`, see proc(5)).
/// Who has CAP_SYS_PTRACE may.
pub(crate) fn are_processes_hidden() -> bool {
    MountInfos::from_file("/proc/self/mountinfo").is_ok_and(|mounts| is_hiding(mounts.0))
}

/// The last mount is the one that is seen.
fn is_hiding(mounts: Vec<MountInfo>) -> bool {
    let seen = mounts.into_iter().rfind(|mount| mount.mount_point.as_os_str() == PROC);
    // A number before 5.8, and a word since.
    seen.and_then(|mount| mount.super_options.get("hidepid").cloned().flatten())
        .is_some_and(|mode| !matches!(mode.as_str(), "0" | "off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_that_is_seen_counts() {
        let hides = |options: &[&str]| {
            let line = |options: &&str| format!("22 1 0:21 / /proc rw,nosuid - proc proc {options}");
            is_hiding(options.iter().map(|options| MountInfo::from_line(&line(options)).unwrap()).collect())
        };
        assert!(!hides(&[]) && !hides(&["rw"]) && !hides(&["rw,hidepid=off"]) && !hides(&["rw,hidepid=0"]));
        assert!(
            hides(&["rw,hidepid=invisible"]) && hides(&["rw,gid=4,hidepid=2"]) && hides(&["rw,hidepid=ptraceable"])
        );
        assert!(hides(&["rw", "rw,hidepid=noaccess"]) && !hides(&["rw,hidepid=noaccess", "rw"]));
    }
}
