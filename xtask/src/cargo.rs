//! Nested cargo calls, and what they say that they built.

use std::{
    env,
    ffi::OsString,
    io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::process;

/// What cargo sets for the program that it runs, that is for this one. To a nested cargo and to
/// build scripts these would tell of the wrong package.
const OURS: [&str; 3] = ["CARGO_MANIFEST_", "CARGO_PKG_", "RUSTC_WORKSPACE_WRAPPER"];

/// An executable that cargo built.
pub(crate) struct Executable {
    /// The name of the target: of the binary or of the test.
    pub(crate) name: String,
    pub(crate) is_test: bool,
    pub(crate) path: PathBuf,
}

/// A subcommand of the cargo that runs this program.
pub(crate) fn command(subcommand: &str) -> Command {
    call(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), subcommand)
}

/// A subcommand of the cargo that came with a compiler; of the usual one if none did.
pub(crate) fn command_beside(rustc: &Path, subcommand: &str) -> Command {
    let beside = rustc.with_file_name("cargo");
    if beside.is_file() { call(beside.into(), subcommand) } else { command(subcommand) }
}

fn call(cargo: OsString, subcommand: &str) -> Command {
    let mut command = Command::new(cargo);
    command.arg(subcommand);
    // What is built is what was reviewed. (`fmt` builds nothing, and `install` has a lock file of its own.)
    if !matches!(subcommand, "fmt" | "install") {
        command.arg("--locked");
    }
    for (name, _) in env::vars_os() {
        if is_ours(&name) {
            command.env_remove(name);
        }
    }
    command
}

fn is_ours(name: &OsString) -> bool {
    OURS.iter().any(|ours| name.as_encoded_bytes().starts_with(ours.as_bytes()))
}

/// The target that the compiler itself runs on.
pub(crate) fn host_target() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let about = process::capture(Command::new(rustc).arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not tell its host")?.to_owned())
}

/// Runs `cargo build` or `cargo test --no-run` and returns the executables.
///
/// Says nothing if all is fresh already: of cargo's messages only the closing one is left out.
pub(crate) fn executables(command: &mut Command) -> Result<Vec<Executable>> {
    command.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped()).stderr(Stdio::piped());
    if io::stderr().is_terminal() && env::var_os("CARGO_TERM_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let shown = process::show(command);
    let failed = || format!("cannot run `{shown}`");
    let mut child = command.spawn().with_context(failed)?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        bail!("{}", failed());
    };
    let messages = thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            if !is_closing(&line) {
                // Nobody is left to tell that standard error is closed.
                let _ = io::stderr().write_all(&[&line[..], b"\n"].concat());
            }
        }
    });
    let mut executables = Vec::new();
    for line in BufReader::new(stdout).lines() {
        executables.extend(parse_message(&line.with_context(failed)?));
    }
    let status = child.wait().with_context(failed)?;
    // It ends when cargo closes its end; it has no result to lose.
    let _ = messages.join();
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(executables)
}

/// ``    Finished `release` profile [optimized] target(s) in 0.05s``, perhaps in colour.
fn is_closing(line: &[u8]) -> bool {
    let mut words = line.split(|byte| !byte.is_ascii_alphabetic());
    words.find(|word| word.len() > 1) == Some(b"Finished")
}

/// One line of `--message-format=json`, if it is about an executable.
fn parse_message(line: &str) -> Option<Executable> {
    let message: Value = serde_json::from_str(line).ok()?;
    Some(Executable {
        name: message["target"]["name"].as_str()?.to_owned(),
        is_test: message["profile"]["test"].as_bool()?,
        path: message["executable"].as_str()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executables_are_taken_from_the_messages() {
        let binary = r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"tracer"},
            "profile":{"test":false},"executable":"/t/release/tracer","fresh":true}"#;
        let found = parse_message(binary).expect("an executable");
        assert_eq!((found.name.as_str(), found.is_test), ("tracer", false));
        let library = binary.replace(r#""/t/release/tracer""#, "null");
        assert!(parse_message(&library).is_none());
        assert!(parse_message(r#"{"reason":"build-finished","success":true}"#).is_none());
    }

    #[test]
    fn the_closing_message_is_told_in_colour_too() {
        assert!(is_closing(b"    Finished `dev` profile [unoptimized] target(s) in 0.05s"));
        assert!(is_closing(b"\x1b[1m\x1b[92m    Finished\x1b[0m `dev` profile"));
        assert!(!is_closing(b"   Compiling tracer v0.1.0"));
        assert!(!is_closing(b"warning: the word Finished elsewhere"));
    }
}
