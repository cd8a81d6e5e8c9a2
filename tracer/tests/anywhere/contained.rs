//! Where the tracer cannot work though it has its capabilities: one sentence, the remedy, a fitting status.

use std::{io, os::unix::process::CommandExt as _};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use crate::report::tracer;

/// What it says, and its exit status, after the child has done that to itself.
fn refused(change: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> (String, Option<i32>) {
    let mut command = tracer();
    command.args(["trace", "-d", "1"]);
    // SAFETY: between fork and exec it makes system calls only.
    unsafe {
        command.pre_exec(change);
    }
    let output = command.output().unwrap();
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

/// A process that sees other mounts than we do, and changes only its own.
fn with_mounts_of_its_own() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
}

#[test]
#[ignore = "needs root"]
fn in_a_user_namespace_root_is_not_the_hosts() {
    let (said, status) = refused(|| {
        unshare(CloneFlags::CLONE_NEWUSER)?;
        std::fs::write("/proc/self/uid_map", "0 0 1")
    });
    assert!(said.contains("user namespace of its own") && said.contains("root of the host"), "{said}");
    assert_eq!((said.lines().count(), status), (1, Some(77)), "{said}");
}

#[test]
#[ignore = "needs root"]
fn a_seccomp_filter_that_forbids_bpf_is_suspected() {
    let (said, status) = refused(|| {
        const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
        const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
        let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        // The number of the system call is the first member of `struct seccomp_data`.
        let mut filter = [
            step(LOAD, 0, 0, 0),
            step(JUMP, 0, 1, libc::SYS_bpf as u32),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: the kernel copies the filter during the call.
        let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    });
    assert!(said.contains("seccomp") && said.contains("bpf"), "{said}");
    assert_eq!((said.lines().count(), status), (1, Some(77)), "{said}");
}

#[test]
#[ignore = "needs root"]
fn what_is_not_mounted_is_named() {
    for (path, remedy) in [("/proc", "mount -t proc"), ("/sys", "mount -t sysfs")] {
        let (said, status) = refused(move || {
            with_mounts_of_its_own()?;
            Ok(mount(Some("none"), path, Some("tmpfs"), MsFlags::empty(), None::<&str>)?)
        });
        assert!(said.contains(&format!("{path} is not mounted")) && said.contains(remedy), "{said}");
        assert_eq!((said.lines().count(), status), (1, Some(69)), "{said}");
    }
}
