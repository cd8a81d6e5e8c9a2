//! What a process gives up when all is set up, and that the kernel refuses it from then on.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, pipe},
    net::TcpStream,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::Command,
    thread,
};

use caps::{CapSet, Capability};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{Uid, User},
};
use tracer::confine::{
    self, Live,
    capabilities::{Stays, USES},
};

use crate::report::Trace;

const PART: &str = "TRACER_TEST_CONFINED";

/// The kernel filters system calls.
fn has_seccomp() -> bool {
    Path::new("/proc/sys/kernel/seccomp/actions_avail").exists()
}

/// A line of /proc/PID/status, or of a thread's.
fn status(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("{path}/status")).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
}

fn capabilities(path: &str, set: &str) -> BTreeSet<String> {
    let bits = status(path, set).unwrap();
    let bits = u64::from_str_radix(&bits, 16).unwrap();
    caps::all().iter().filter(|it| bits >> it.index() & 1 != 0).map(ToString::to_string).collect()
}

#[test]
#[ignore = "needs root"]
fn a_run_keeps_only_what_the_table_says() {
    let trace = Trace::start(&["-e", "rst"]);
    let path = format!("/proc/{}", trace.pid());
    let known = caps::read(None, CapSet::Permitted).unwrap();
    let stays = USES.iter().filter(|entry| entry.stays == Stays::ToTheEnd && known.contains(&entry.capability));
    let stays: BTreeSet<_> = stays.map(|entry| entry.capability.to_string()).collect();
    for set in ["CapEff", "CapPrm"] {
        assert_eq!(capabilities(&path, set), stays, "{set}");
    }
    assert_eq!(capabilities(&path, "CapInh"), BTreeSet::new());
    assert_eq!(status(&path, "NoNewPrivs").as_deref(), Some("1"));
    if has_seccomp() {
        assert_eq!(status(&path, "Seccomp").as_deref(), Some("2"));
    }
    let threads: Vec<_> = fs::read_dir(format!("{path}/task")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let writers: Vec<_> = threads
        .iter()
        .filter_map(|path| path.to_str())
        .filter(|path| status(path, "Name").as_deref() == Some("writer"))
        .collect();
    assert_eq!(writers.len(), 1, "{threads:?}");
    assert_eq!(capabilities(writers[0], "CapPrm"), BTreeSet::new());
    trace.stop();
}

/// Plays a part in a process of its own, since what is given up does not come back.
fn play(part: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["confined::entry", "--exact", "--ignored", "--nocapture"]).env(PART, part);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{part}:\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs root"]
fn entry() {
    match std::env::var(PART).as_deref() {
        Ok("live") => confined_live(),
        Ok("files") => confined_but_for_files(),
        Ok("replay") => confined_replay(),
        _ => {}
    }
}

#[test]
#[ignore = "needs root"]
fn the_kernel_refuses_what_was_given_up() {
    if has_seccomp() {
        ["live", "files", "replay"].into_iter().for_each(play);
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(what: &str, result: io::Result<T>) {
    let error = result.expect_err(what);
    assert!(matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)), "{what}: {error}");
}

/// What neither a run nor a replay may do.
#[track_caller]
fn assert_harmless() {
    assert_refused("a program", Command::new("/proc/self/exe").arg("--list").status());
    assert_refused("a connection", TcpStream::connect("127.0.0.1:1"));
    let none = None::<&str>;
    let mounted = mount(Some("none"), "/tmp", Some("tmpfs"), MsFlags::empty(), none).map_err(io::Error::from);
    assert_refused("a mount", mounted);
    assert_refused("a namespace", unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from));
    // SAFETY: the kernel refuses it before it looks at what there is not.
    let loaded = unsafe { libc::syscall(libc::SYS_bpf, 5, 0, 0) };
    assert_refused("a program of eBPF", if loaded < 0 { Err(io::Error::last_os_error()) } else { Ok(loaded) });
    assert!(caps::read(None, CapSet::Permitted).unwrap().is_disjoint(&[Capability::CAP_SYS_MODULE].into()));
    // What it lives on goes on: threads, memory, pipes.
    thread::spawn(|| drop(vec![0_u8; 1 << 22])).join().expect("a thread runs");
    drop(pipe().expect("a pipe"));
}

fn confined_live() {
    let path = std::env::temp_dir().join(format!("tracer-confined-{}", std::process::id()));
    // A thread that is there before is under the filter, too.
    let (mut end, begin) = pipe().unwrap();
    let before = {
        let path = path.clone();
        thread::spawn(move || {
            end.read_to_end(&mut Vec::new()).unwrap();
            File::create(path)
        })
    };
    confine::live(&Live::default()).unwrap();
    drop(begin);
    assert_refused("a file, by an older thread", before.join().unwrap());
    assert_refused("a file", File::create(&path));
    assert_refused("a file to append to", OpenOptions::new().append(true).open("/proc/self/comm"));
    assert!(fs::read_to_string("/proc/1/status").is_ok(), "it reads what it likes");
    assert_harmless();
}

fn confined_but_for_files() {
    let path = std::env::temp_dir().join(format!("tracer-confined-{}", std::process::id()));
    confine::live(&Live { makes_files: true, ..Live::default() }).unwrap();
    fs::write(&path, "made").expect("it makes files");
    fs::remove_file(&path).expect("it removes files");
    assert_harmless();
}

fn confined_replay() {
    let mut file = File::open("/proc/self/exe").unwrap();
    let has_landlock = confine::outlook().iter().any(|sentence| sentence.ends_with("(Landlock)"));
    confine::replay();
    file.read_exact(&mut [0]).expect("it reads what is open");
    let other = File::open("/proc/self/status");
    if has_landlock {
        assert_refused("another file", other);
    } else {
        println!("not tested here: this kernel does not keep a replay from other files");
    }
    assert_refused("a file", File::create(std::env::temp_dir().join("tracer-confined")));
    assert_harmless();
}

#[test]
#[ignore = "needs root"]
fn as_another_user_it_sees_what_root_sees() {
    let Some(user) = User::from_uid(Uid::from_raw(65534)).unwrap() else {
        return println!("not tested here: there is no user 65534");
    };
    let directory = tempfile::tempdir().unwrap();
    let recording = directory.path().join("recording");
    let mut trace =
        Trace::start(&["-e", "rst", "-Z", &user.name, "-w", recording.to_str().expect("a temporary path is UTF-8")]);
    let path = format!("/proc/{}", trace.pid());
    for (ids, wanted) in [("Uid", user.uid.as_raw()), ("Gid", user.gid.as_raw())] {
        let ids = status(&path, ids).unwrap();
        assert!(ids.split_whitespace().all(|id| id == wanted.to_string()), "{ids}");
    }
    let (local, _) = crate::report::abort();
    let rst = trace.wait("the RST", |event| event["event"] == "rst" && event["local"] == local.to_string());
    assert_eq!(rst["owner"]["pid"], std::process::id(), "{rst:#}");
    // It is the other's file, and whole though it was opened before.
    assert_eq!(fs::metadata(&recording).unwrap().uid(), user.uid.as_raw());
    let summary = trace.stop().pop().unwrap();
    assert!(summary["lost"]["skipped"].is_number(), "its programs' own counts can be read: {summary:#}");
}
