use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Mutex, PoisonError},
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::wait::{Id, WaitPidFlag, WaitStatus, waitid},
};

use super::*;

/// A child forked while another test writes a script would keep it open for writing: ETXTBSY.
static WRITE_OR_FORK: Mutex<()> = Mutex::new(());

fn command(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn hold(words: &[&str]) -> Held {
    // Not ours: it may have directories that we may not search, which count as EACCES.
    let path = ("PATH".into(), "/usr/bin:/bin".into());
    hold_in(env::vars_os().filter(|(name, _)| name != "PATH").chain([path]).collect(), words)
}

fn hold_in(environment: Environment, words: &[&str]) -> Held {
    let _guard = WRITE_OR_FORK.lock().unwrap_or_else(PoisonError::into_inner);
    Held::fork_in(environment, &command(words), When::Never).unwrap()
}

fn end_of(mut running: Running) -> Status {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(running.wait()).unwrap();
    assert_eq!(runtime.block_on(running.wait()).unwrap(), status, "a second wait");
    assert_eq!(running.forward(Signal::SIGTERM, false).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    status
}

fn status(words: &[&str]) -> Status {
    end_of(hold(words).release().unwrap())
}

fn error(words: &[&str]) -> (u8, String) {
    let held = hold(words);
    let pid = held.pid;
    let error = held.release().unwrap_err();
    assert_no_child(pid);
    (error.exit_code(), error.to_string())
}

fn assert_no_child(pid: Pid) {
    assert_eq!(waitpid(pid, None), Err(nix::Error::ECHILD));
}

fn write_file(path: &Path, text: &str, mode: u32) {
    let _guard = WRITE_OR_FORK.lock().unwrap_or_else(PoisonError::into_inner);
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn passes_the_exit_status_on() {
    assert_eq!(status(&["sh", "-c", "exit 7"]), Status::Exited(7));
    assert_eq!(status(&["sh", "-c", "exit 7"]).exit_code(), 7);
    assert_eq!(status(&["true"]), Status::Exited(0));
}

#[test]
fn signals_count_from_128() {
    assert_eq!(status(&["sh", "-c", "kill -9 $$"]), Status::Signaled(9));
    assert_eq!(Status::Signaled(9).exit_code(), 137);
    // One that has no name.
    assert_eq!(status(&["sh", "-c", "kill -40 $$"]), Status::Signaled(40));
}

#[test]
fn waits_before_its_exec_and_takes_signals_after_it() {
    let held = hold(&["sleep", "60"]);
    let executable = format!("/proc/{}/exe", held.pid());
    let ours = fs::read_link("/proc/self/exe").unwrap();
    assert_eq!(fs::read_link(&executable).unwrap(), ours);
    let flags = FdFlag::from_bits_retain(fcntl(&held.channel, FcntlArg::F_GETFD).unwrap());
    assert!(flags.contains(FdFlag::FD_CLOEXEC));

    let running = held.release().unwrap();
    assert_ne!(fs::read_link(&executable).unwrap(), ours);
    running.forward(Signal::SIGTERM, false).unwrap();
    assert_eq!(end_of(running).exit_code(), 143);
}

#[test]
fn a_wait_may_be_cancelled() {
    let mut running = hold(&["sleep", "60"]).release().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::select! {
            biased;
            status = running.wait() => panic!("it ended: {status:?}"),
            () = tokio::task::yield_now() => {}
        }
        running.forward(Signal::SIGTERM, false).unwrap();
        assert_eq!(running.wait().await.unwrap(), Status::Signaled(15));
    });
}

#[test]
fn dropped_it_leaves_nothing() {
    let held = hold(&["true"]);
    let pid = held.pid;
    drop(held);
    assert_no_child(pid);
}

#[test]
fn ends_when_the_channel_closes() {
    let mut held = hold(&["true"]);
    // As the end of this process would; it shows that the child does not hold that end itself.
    (held.channel, _) = UnixStream::pair().unwrap();
    let ended = waitid(Id::Pid(held.pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    assert_eq!(ended, WaitStatus::Exited(held.pid, 127));
}

#[test]
fn killed_while_held_is_told_by_wait() {
    let held = hold(&["true"]);
    // One that a shell does not make its background jobs ignore.
    kill(held.pid, Signal::SIGTERM).unwrap();
    waitid(Id::Pid(held.pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    assert_eq!(end_of(held.release().unwrap()), Status::Signaled(libc::SIGTERM));
}

#[test]
fn tells_not_found_from_not_executable() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name| directory.path().join(name).into_os_string().into_string().unwrap();
    write_file(path("plain").as_ref(), "", 0o644);
    write_file(path("lost").as_ref(), "#!/no/such/interpreter\n", 0o755);

    let not_found = (127, "command not found: `no-such-command` (check its spelling, or give its path)".to_owned());
    assert_eq!(error(&["no-such-command"]), not_found);
    assert_eq!(error(&[&path("missing")]).0, 127);
    assert_eq!(error(&[&path("plain/below")]).0, 127);
    assert_eq!(error(&[""]).0, 127);
    assert_eq!(error(&[&path("plain")]).0, 126);
    assert_eq!(error(&[&path("")]).0, 126);
    let (code, sentence) = error(&[&path("lost")]);
    assert_eq!(code, 126);
    assert!(
        sentence.starts_with("cannot execute `") && sentence.ends_with(": its interpreter does not exist"),
        "{sentence}"
    );
    assert_eq!(Held::fork(&[], When::Never).unwrap_err().exit_code(), 1);
}

#[test]
fn searches_on_after_what_it_may_not_execute() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_file(&first.path().join("it"), "", 0o644);
    let environment = |path: OsString| vec![("PATH".into(), path)];
    let both = env::join_paths([first.path(), second.path()]).unwrap();
    let held = hold_in(environment(both.clone()), &["it"]);
    assert_eq!(held.release().unwrap_err().exit_code(), 126);

    // A script without `#!`.
    write_file(&second.path().join("it"), "exit $(($# + $1))\n", 0o755);
    let held = hold_in(environment(both), &["it", "40", "x"]);
    assert_eq!(end_of(held.release().unwrap()), Status::Exited(42));
}

#[test]
fn signals_are_as_before_us() {
    assert_eq!(status(&["grep", "-q", "^SigBlk:\t0*$", "/proc/self/status"]), Status::Exited(0));
    assert_eq!(status(&["sh", "-c", "kill -PIPE $$"]), Status::Signaled(libc::SIGPIPE));
}

#[test]
fn under_sudo_it_runs_as_the_user() {
    if !getuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    let output = directory.path().join("output");
    let secret = directory.path().join("secret");
    write_file(&secret, "exit 0\n", 0o700);

    let mut environment: Environment = env::vars_os().collect();
    environment.retain(|(name, _)| !name.to_string_lossy().starts_with("SUDO_"));
    environment.extend([
        ("SUDO_USER".into(), "nobody".into()),
        ("SUDO_UID".into(), nobody.uid.to_string().into()),
        ("SUDO_GID".into(), nobody.gid.to_string().into()),
        ("OUTPUT".into(), output.clone().into()),
    ]);
    let script = r#"echo "$(id -ru) $(id -u) $(id -g) $(id -G) $USER $HOME ${SUDO_USER-unset}" > "$OUTPUT""#;
    let held = hold_in(environment.clone(), &["sh", "-c", script]);
    assert_eq!(end_of(held.release().unwrap()), Status::Exited(0));
    let (uid, gid, home) = (nobody.uid, nobody.gid, nobody.dir.display());
    let expected = format!("{uid} {uid} {gid} {gid} nobody {home} unset\n");
    assert_eq!(fs::read_to_string(&output).unwrap(), expected);

    let held = hold_in(environment, &[secret.to_str().unwrap()]);
    assert_eq!(held.release().unwrap_err().exit_code(), 126);
}
