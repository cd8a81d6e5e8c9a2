//! Where the tracer cannot work though it has its capabilities: one sentence, the remedy, a fitting status.

use std::{io, os::unix::process::CommandExt as _};

use caps::{CapSet, Capability};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use crate::report::{objects, tracer};

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

/// What it says that it does not know, with `/proc` mounted by these flags and options, without CAP_SYS_PTRACE or with it.
fn unknown(flags: MsFlags, options: &'static str, may_trace: bool) -> Vec<String> {
    let mut command = tracer();
    command.args(["trace", "-j", "-e", "rst", "-d", "0.1"]);
    // SAFETY: between fork and exec it makes system calls only.
    unsafe {
        command.pre_exec(move || {
            with_mounts_of_its_own()?;
            mount(Some("proc"), "/proc", Some("proc"), flags, Some(options))?;
            if !may_trace {
                caps::drop(None, CapSet::Bounding, Capability::CAP_SYS_PTRACE).map_err(io::Error::other)?;
            }
            Ok(())
        });
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let start = objects(&output.stdout).remove(0);
    start["degraded"].as_array().unwrap().iter().map(|said| said.as_str().unwrap().to_owned()).collect()
}

#[test]
#[ignore = "needs root"]
fn processes_that_are_hidden_are_told_of_and_a_read_only_proc_costs_nothing() {
    let is_hidden = |said: &[String]| said.iter().any(|sentence| sentence.contains("hidepid"));
    assert!(is_hidden(&unknown(MsFlags::empty(), "hidepid=2,gid=54321", false)));
    assert!(is_hidden(&unknown(MsFlags::empty(), "hidepid=4", false)));
    assert!(!is_hidden(&unknown(MsFlags::empty(), "hidepid=4", true)), "nothing is hidden from who may trace");
    assert!(!is_hidden(&unknown(MsFlags::empty(), "hidepid=2", false)), "nor from the group root, unless one is named");
    assert!(!is_hidden(&unknown(MsFlags::empty(), "hidepid=0", false)));
    let as_ever = unknown(MsFlags::empty(), "hidepid=0", true);
    assert_eq!(unknown(MsFlags::MS_RDONLY, "hidepid=0", true), as_ever);
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
