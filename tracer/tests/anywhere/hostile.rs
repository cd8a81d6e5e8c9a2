//! What processes call themselves cannot do anything to a terminal, nor to JSON.

use std::process::Stdio;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tracer::demo::host::Host;

use crate::{
    child::Player,
    observe::wait_closed,
    report::{Trace, objects, of_kind, tracer},
};

/// Colours, a title, a line that looks like an event, invalid UTF-8, and a control character of two bytes.
const ARGUMENTS: &[u8] = b"\x1b[31mred\x1b]0;title\x07\r\n10:00:00.000 fake\n\xff\xfe\xc2\x9b31m\0";

fn hostile() -> Player {
    let title: String = ARGUMENTS.iter().map(|byte| format!("{byte:02x}")).collect();
    // A name may have all but NUL.
    Player::start(&format!("title {title}; name \x1b[2J\n\u{9b}31m; wait; self 127.0.0.1:1000"))
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !c.is_control())
}

#[test]
#[ignore = "needs root"]
fn a_command_line_stays_text() {
    let host = Host::new("hostile").unwrap();
    let mut player = host.run(|| Ok(hostile())).unwrap();
    let netns = host.netns().to_string();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("recording");
    let mut text = tracer();
    text.args(["trace", "--tasks", "-e", "state,open,close", "--netns", &netns, "-w", file.to_str().unwrap()]);
    let mut text = text.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = std::io::BufReader::new(text.stdout.take().unwrap());
    let mut shown = String::new();
    std::io::BufRead::read_line(&mut output, &mut shown).unwrap();
    // `objects` and this read it as UTF-8.
    let mut json = Trace::start(&["--netns", &netns, "-e", "state,open,close"]);
    player.end();
    wait_closed(&mut json, 1);
    let objects_shown = json.stop();
    kill(Pid::from_raw(text.id() as i32), Signal::SIGINT).unwrap();
    std::io::Read::read_to_string(&mut output, &mut shown).expect("UTF-8");
    assert!(text.wait().unwrap().success());

    assert!(is_plain(&shown), "{shown:?}");
    assert!(shown.contains("\\u{1b}[31mred"), "it is shown, escaped: {shown}");
    assert!(!shown.lines().any(|line| line.starts_with("10:00:00.000 fake")), "{shown}");

    let open = of_kind(&objects_shown, "open")[0];
    let line = open["owner"]["cmdline"].as_str().unwrap();
    assert!(line.contains("\x1b[31mred") && line.contains('\u{fffd}'), "as it is, but for what is no text: {line:?}");
    let name = open["owner"]["comm"].as_str().unwrap();
    assert!(name.starts_with("\x1b[2J\n"), "{name:?}");

    // The same when it is replayed; and no line of JSON has a raw control character.
    let replay = |args: &[&str]| tracer().arg("replay").args(args).arg(&file).output().unwrap().stdout;
    assert!(is_plain(&String::from_utf8(replay(&["--tasks"])).unwrap()));
    let json = String::from_utf8(replay(&["-j"])).unwrap();
    assert!(!json.bytes().any(|byte| byte < b' ' && byte != b'\n'), "{json:?}");
    assert_eq!(of_kind(&objects(json.as_bytes()), "open")[0]["owner"]["cmdline"], line);
}
