//! `tracer trace -- COMMAND`: from its first instruction, with its status, and nothing of others.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, User},
};
use serde_json::Value;
use tracer::testbed::host::Host;

use crate::{
    child::player,
    ends,
    report::{objects, of_kind, tracer},
};

/// Runs a tracer in a network namespace of its own, where all ports are free.
fn run_apart(mut command: Command) -> Output {
    let host = Host::new("apart").unwrap();
    host.run(move || Ok(command.output()?)).unwrap()
}

/// Makes `tracer trace ARGS -- COMMAND` of a command with its environment.
fn traced(args: &[&str], command: &Command) -> Command {
    let mut traced = tracer();
    traced.arg("trace").args(args).arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        traced.env(name, value.unwrap());
    }
    traced
}

fn shell(args: &[&str], script: &str) -> Command {
    traced(args, Command::new("sh").args(["-c", script]))
}

#[test]
#[ignore = "needs root"]
fn a_self_connect_is_the_whole_story_of_one_socket() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report");
    let args = ["-j", "-e", "state,rst,open,close", "-o", file.to_str().unwrap()];
    let output = run_apart(traced(&args, &player("self 127.0.0.1:1234")));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let objects = objects(&fs::read(&file).unwrap());
    let steps = |event: &&Value| [&event["old"], &event["new"]].map(|state| state.as_str().unwrap().to_owned());
    let states: Vec<_> = of_kind(&objects, "state").iter().map(steps).collect();
    let pairs = |path: &[&str]| path.windows(2).map(|two| [two[0].into(), two[1].into()]).collect::<Vec<[String; 2]>>();
    let path = ["CLOSE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "CLOSING", "CLOSE"];
    assert_eq!(states, pairs(&path), "and no LISTEN");
    assert!(of_kind(&objects, "rst").is_empty());

    let events: Vec<_> = objects.iter().filter(|object| object["local"].is_string()).collect();
    assert_eq!(events.len(), 8, "six states, open, close: {events:#?}");
    for event in &events {
        assert_eq!((&event["local"], &event["remote"]), (&"127.0.0.1:1234".into(), &"127.0.0.1:1234".into()));
        assert!(event["cookie"].is_u64() && event["cookie"] == events[0]["cookie"], "one socket: {event:#}");
        assert_eq!(event["owner"]["pid"], events[0]["owner"]["pid"]);
    }
    let (open, close) = (of_kind(&objects, "open")[0], of_kind(&objects, "close")[0]);
    assert_eq!(open["opened"], "self");
    assert!(open["handshake_ns"].as_u64() > Some(0), "from its first SYN: {open:#}");
    assert_eq!((&close["opened"], &close["became"]), (&"self".into(), &"TIME_WAIT".into()));
    assert!(close["lifetime_ns"].as_u64() >= close["open_ns"].as_u64(), "{close:#}");
}

#[test]
#[ignore = "needs root"]
fn its_children_are_shown_and_others_are_not() {
    let host = Host::new("shared").unwrap();
    let part = "exchange 127.0.0.1:PORT1 127.0.0.1:PORT0";
    let players = ["301", "302"].map(|port| player(&part.replace("PORT", port)));
    // Both read their part from the environment, so the shell gives each its own.
    let line = |command: &Command| {
        let words =
            command.get_envs().map(|(name, value)| format!("{}='{}'", name.display(), value.unwrap().display()));
        let program = format!("'{}'", command.get_program().display());
        let args = command.get_args().map(|arg| arg.display().to_string());
        words.chain([program]).chain(args).collect::<Vec<_>>().join(" ")
    };
    let script = format!("read go; {} & {} & wait", line(&players[0]), line(&players[1]));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report");
    let mut command = shell(&["-j", "-e", "state,close", "-o", file.to_str().unwrap()], &format!("echo up; {script}"));
    let mut child = host.run(move || Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)).unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    // The command runs, so the probes are in place.
    let end = |text: &str| text.parse::<SocketAddr>().unwrap();
    let (client, server) = (end("127.0.0.1:4001"), end("127.0.0.1:4000"));
    let unrelated = move || {
        ends::exchange(client, server);
        Ok(())
    };
    host.run(unrelated).unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    said.read_to_string(&mut String::new()).unwrap();
    assert!(child.wait().unwrap().success());

    let objects = objects(&fs::read(&file).unwrap());
    let mut closed: Vec<_> =
        of_kind(&objects, "close").iter().map(|event| event["local"].as_str().unwrap().to_owned()).collect();
    closed.sort();
    assert_eq!(closed, ["127.0.0.1:3010", "127.0.0.1:3011", "127.0.0.1:3020", "127.0.0.1:3021"]);
    let owners: Vec<_> = ["127.0.0.1:3010", "127.0.0.1:3020"]
        .map(|end| objects.iter().find(|event| event["local"] == end).unwrap()["owner"]["pid"].clone())
        .into();
    assert_ne!(owners[0], owners[1], "two children");
    let whole = objects.iter().filter(|event| event["old"] == "CLOSE" && event["new"] == "SYN_SENT").count();
    assert_eq!(whole, 2, "each from its first call on");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("127.0.0.1:400"), "the unrelated connection: {text}");
}

#[test]
#[ignore = "needs root"]
fn its_exit_status_is_ours() {
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)] {
        let output = shell(&["-e", "close"], script).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{script}: {output:?}");
        assert!(output.stderr.is_empty(), "{script}: {output:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_command_that_cannot_start_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("no-program");
    fs::write(&file, "text").unwrap();
    let no_program = file.to_str().unwrap();
    for (name, status, reason) in [("no-such-command", 127, "command not found"), (no_program, 126, "cannot execute")] {
        let output = traced(&["-e", "close"], &Command::new(name)).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(reason) && text.contains(name) && text.lines().count() == 1, "{text}");
        assert!(output.stdout.is_empty(), "nothing was traced");
    }
}

#[test]
#[ignore = "needs root"]
fn under_sudo_it_runs_as_the_user_and_its_output_is_its_own() {
    let Some(user) = User::from_uid(Uid::from_raw(65534)).unwrap() else {
        return eprintln!("skipped: this host has no user 65534");
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report");
    let script = "id -u; id -g; echo $HOME; echo ${SUDO_UID-none}";
    let mut command = shell(&["-j", "-o", file.to_str().unwrap()], script);
    command.env("SUDO_USER", &user.name).env("SUDO_UID", user.uid.to_string()).env("SUDO_GID", user.gid.to_string());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let expected = format!("{}\n{}\n{}\nnone\n", user.uid, user.gid, user.dir.display());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    let report = objects(&fs::read(&file).unwrap());
    let kinds: Vec<_> = report.iter().map(|object| object["event"].as_str().unwrap()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"start"), Some(&"summary")));
    // We wrote the report, not the user.
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o022, 0);
}

#[test]
#[ignore = "needs root"]
fn for_a_caller_whom_nobody_knows_it_does_not_run_as_root() {
    let directory = tempfile::tempdir().unwrap();
    let ran = directory.path().join("ran");
    let mut command = shell(&["-j"], &format!("touch {}", ran.display()));
    let output =
        command.envs([("SUDO_USER", "no-such-user"), ("SUDO_UID", "1000"), ("SUDO_GID", "1000")]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("do not name one user") && said.contains("unset"), "{said}");
    assert!(!ran.exists(), "it must not have run");
}

#[test]
#[ignore = "needs root"]
fn it_gets_our_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report");
    // A shell waits for a child in a way that a signal interrupts. A child that has yet to become `sleep` would lose a
    // gentler one.
    let script = "trap 'kill -9 $!; echo told; exit 3' TERM; sleep 1000 & echo up; wait";
    let mut child = shell(&["-j", "-o", file.to_str().unwrap()], script).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "told\n");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(objects(&fs::read(&file).unwrap()).last().unwrap()["event"], "summary");
}
