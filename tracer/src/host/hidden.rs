//! Processes that `/proc` does not show.

use nix::unistd::{Gid, getegid, getgroups};
use procfs::{
    FromRead as _,
    process::{MountInfo, MountInfos},
};

/// Where the kernel tells of processes.
const PROC: &str = "/proc";

/// `/proc` is mounted so that it hides other users' processes from this one, which may not trace them (`hidepid`, see
/// proc(5)). Who has CAP_SYS_PTRACE may.
pub(crate) fn are_processes_hidden() -> bool {
    let groups = getgroups().into_iter().flatten().chain([getegid()]).map(Gid::as_raw).collect::<Vec<_>>();
    MountInfos::from_file("/proc/self/mountinfo").is_ok_and(|mounts| is_hiding(mounts.0, &groups))
}

/// From a member of these groups. The last mount is the one that is seen.
fn is_hiding(mounts: Vec<MountInfo>, groups: &[u32]) -> bool {
    let seen = mounts.into_iter().rfind(|mount| mount.mount_point.as_os_str() == PROC);
    let option = |name| seen.as_ref().and_then(|mount| mount.super_options.get(name).cloned().flatten());
    // A group sees all, root's if no other is named, but for the last mode (has_pid_permissions in fs/proc/base.c).
    let group = option("gid").and_then(|gid| gid.parse().ok()).unwrap_or(0);
    // A number before 5.8, and a word since.
    match option("hidepid").as_deref() {
        None | Some("0" | "off") => false,
        Some("4" | "ptraceable") => true,
        Some(_) => !groups.contains(&group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_that_is_seen_counts() {
        let hides_from = |groups: &[u32], options: &[&str]| {
            let line = |options: &&str| format!("22 1 0:21 / /proc rw,nosuid - proc proc {options}");
            is_hiding(options.iter().map(|options| MountInfo::from_line(&line(options)).unwrap()).collect(), groups)
        };
        let hides = |options: &[&str]| hides_from(&[7], options);
        assert!(!hides(&[]) && !hides(&["rw"]) && !hides(&["rw,hidepid=off"]) && !hides(&["rw,hidepid=0"]));
        assert!(
            hides(&["rw,hidepid=invisible"]) && hides(&["rw,gid=4,hidepid=2"]) && hides(&["rw,hidepid=ptraceable"])
        );
        assert!(hides(&["rw", "rw,hidepid=noaccess"]) && !hides(&["rw,hidepid=noaccess", "rw"]));
        assert!(!hides_from(&[7, 0], &["rw,hidepid=invisible"]) && !hides_from(&[7, 4], &["rw,gid=4,hidepid=2"]));
        assert!(hides_from(&[7, 0], &["rw,gid=4,hidepid=2"]) && hides_from(&[7, 0], &["rw,hidepid=ptraceable"]));
    }
}
