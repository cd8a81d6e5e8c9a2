//! Recorded records through decode ... sink, byte for byte, without privileges.
//!
//! `UPDATE_GOLDEN=1 cargo test --test golden` rewrites what is expected; read the difference before you
//! commit it.

mod hostile;
mod plain;
mod redacted;
#[path = "../live/schema.rs"]
mod schema;
mod shown;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn replay(recording: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.env("TZ", "UTC").arg("replay").args(args).arg(recording);
    command.output().expect("the tracer starts")
}

fn compare(args: &[&str], expected: &str) {
    let output = replay(&file("trace.recording"), args);
    assert!(output.status.success(), "{output:?}");
    compare_with(&String::from_utf8(output.stdout).unwrap(), expected);
}

fn compare_with(shown: &str, expected: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(file(expected), shown).unwrap();
    }
    let expected = fs::read_to_string(file(expected)).unwrap();
    for (number, (shown, expected)) in shown.lines().zip(expected.lines()).enumerate() {
        assert_eq!(shown, expected, "line {}", number + 1);
    }
    assert_eq!(shown.len(), expected.len(), "both have the same lines, but one goes on");
}

#[test]
fn text() {
    compare(&[], "trace.txt");
}

#[test]
fn json() {
    compare(&["-j"], "trace.json");
}

#[test]
fn a_recording_that_is_cut_off_is_shown_up_to_there() {
    let whole = fs::read(file("trace.recording")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let cut = directory.path().join("cut");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let output = replay(&cut, &["-j"]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("cut off at byte") && message.lines().count() == 1, "{message}");
    let shown = String::from_utf8(output.stdout).unwrap();
    let expected = fs::read_to_string(file("trace.json")).unwrap();
    assert!(shown.lines().count() > 10);
    assert!(expected.starts_with(&shown), "what came before is shown as it is in the whole");
}

#[test]
fn every_line_of_json_is_as_the_schema_says() {
    let text = fs::read_to_string(file("trace.json")).unwrap();
    let binary = || Command::new(env!("CARGO_BIN_EXE_tracer"));
    let kinds: HashSet<String> =
        text.lines().map(|line| schema::object(line, binary)["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds.len(), 8, "{kinds:?}: start, summary, and each kind but lookups");
}

#[test]
#[should_panic(expected = "is not as the schema says")]
fn the_schema_refuses_what_it_does_not_describe() {
    let text = fs::read_to_string(file("trace.json")).unwrap();
    let line = text.lines().find(|line| line.contains(r#""event":"open""#)).unwrap();
    schema::object(&line.replace("handshake_ns", "handshake"), || Command::new(env!("CARGO_BIN_EXE_tracer")));
}
