//! `tracer replay` shows what the trace did: all of it, or what the same filter would have let pass.

use std::{fs, os::unix::process::CommandExt, path::Path, process::Output};

use serde_json::Value;

use crate::{recorded::Recorded, report::tracer};

fn replay(file: &Path, args: &[&str]) -> Output {
    tracer().env("TZ", "UTC").arg("replay").args(args).arg(file).output().unwrap()
}

/// What it printed, and insists on its success.
fn shown(file: &Path, args: &[&str]) -> String {
    let output = replay(file, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines that are events.
fn events(json: &str) -> Vec<(&str, Value)> {
    let parse = |line| (line, serde_json::from_str::<Value>(line).unwrap());
    json.lines().map(parse).filter(|(_, object)| object["local"].is_string()).collect()
}

fn end(event: &Value, end: &str) -> (String, u16) {
    let (address, port) = event[end].as_str().unwrap().rsplit_once(':').unwrap();
    (address.to_owned(), port.parse().unwrap())
}

fn port(event: &Value, side: &str) -> u16 {
    end(event, side).1
}

fn either(event: &Value, wanted: impl Fn((String, u16)) -> bool) -> bool {
    wanted(end(event, "local")) || wanted(end(event, "remote"))
}

#[test]
#[ignore = "needs root"]
fn each_filter_selects_the_same_lines() {
    let recorded = Recorded::new();
    let file = recorded.recording("json");
    let all = events(&recorded.json);
    let check = |args: &str, selects: &dyn Fn(&Value) -> bool| {
        let wanted: Vec<_> = all.iter().filter(|(_, event)| selects(event)).map(|(line, _)| *line).collect();
        assert!(!wanted.is_empty() && wanted.len() < all.len(), "{args} selects {} of {}", wanted.len(), all.len());
        let args: Vec<_> = args.split(' ').collect();
        let replayed = shown(&file, &[&["-j"], &args[..]].concat());
        assert_eq!(events(&replayed).iter().map(|(line, _)| *line).collect::<Vec<_>>(), wanted, "{args:?}");
    };
    let [alice, parent] = recorded.pids;
    let family: Vec<_> = all.iter().filter(|(_, event)| either(event, |(_, port)| port / 100 == 20)).collect();
    let child = |event: &Value| either(event, |(_, port)| port == 2041 || port == 2040);
    let childs_pid = family.iter().find(|(_, event)| child(event)).unwrap().1["owner"]["pid"].clone();

    check(&format!("-p {alice}"), &|event| event["owner"]["pid"] == alice);
    check(&format!("-p {parent}"), &|event| event["owner"]["pid"] == parent);
    check(&format!("-p {parent} -f"), &|event| [parent.into(), childs_pid.clone()].contains(&event["owner"]["pid"]));
    check("-u 65534", &|event| event["owner"]["uid"] == 65534);
    check("-u root", &|event| event["owner"]["uid"] == 0);
    check("--comm alice", &|event| event["owner"]["comm"] == "alice");
    check("-P 80,8000-8999", &|event| either(event, |(_, port)| port == 80 || (8000..=8999).contains(&port)));
    check("-L 80,1004-1006", &|event| [80, 1004, 1005, 1006].contains(&port(event, "local")));
    check("-D 80 -D 1004", &|event| [80, 1004].contains(&port(event, "remote")));
    check("--addr 127.0.0.8/31,::1", &|event| {
        either(event, |(address, _)| ["127.0.0.8", "127.0.0.9", "[::1]"].contains(&address.as_str()))
    });
    check("--addr ::/0", &|event| event["family"] == "ipv6");
    check("-4", &|event| event["family"] == "ipv4");
    check("-6", &|event| event["family"] == "ipv6");
    check("--opens self", &|event| event["opened"] == "self");
    check("--opens passive -P 80", &|event| event["opened"] == "passive" && either(event, |(_, port)| port == 80));
    check("-e open,rst", &|event| event["event"] == "open" || event["event"] == "rst");
    check("-e close", &|event| event["event"] == "close");

    // These are the same for all of them.
    let netns = recorded.netns.to_string();
    assert_eq!(events(&shown(&file, &["-j", "--netns", &netns])).len(), all.len());
    assert!(events(&shown(&file, &["-j", "--netns", "1"])).is_empty());
    let own = all.iter().find_map(|(_, event)| event["owner"]["cgroup"].as_str()).expect("a control group");
    let owned = all.iter().filter(|(_, event)| event["owner"].is_object()).count();
    assert_eq!(events(&shown(&file, &["-j", "--cgroup", own])).len(), owned);
    assert!(events(&shown(&file, &["-j", "--cgroup", "/none/of/them"])).is_empty());
}

#[test]
#[ignore = "needs root"]
fn without_filters_it_is_the_live_output() {
    let recorded = Recorded::new();
    assert!(recorded.text.lines().count() > 40, "{}", recorded.text);
    assert_same(&shown(&recorded.recording("text"), &[]), &recorded.text);
    assert_same(&shown(&recorded.recording("json"), &["-j"]), &recorded.json);
    // And each recording has what both showed, but for the times at which each saw it.
    let count = |json: &str| events(json).len();
    assert_eq!(count(&shown(&recorded.recording("text"), &["-j"])), count(&recorded.json));

    // Anybody may, who can read the file and run the program: that may be where only we look, so a copy is run.
    let program = recorded.directory().join("tracer");
    fs::copy(tracer().get_program(), &program).unwrap();
    let open = |path: &Path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    let file = recorded.recording("json");
    [recorded.directory(), &program, &file].into_iter().for_each(open);
    let output = std::process::Command::new(&program).args(["replay", "-j"]).arg(&file).uid(65534).gid(65534).output();
    let output = output.unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), recorded.json);

    what_is_wrong_with_a_file_is_said(&recorded);
}

/// Byte for byte; the first line that differs is told.
fn assert_same(replayed: &str, live: &str) {
    for (replayed, live) in replayed.lines().zip(live.lines()) {
        assert_eq!(replayed, live);
    }
    assert_eq!(replayed.len(), live.len());
}

fn what_is_wrong_with_a_file_is_said(recorded: &Recorded) {
    let whole = fs::read(recorded.recording("json")).unwrap();
    let file = recorded.directory().join("damaged");
    let refused = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let output = replay(&file, &["-j"]);
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(message.lines().count(), 1, "{message}");
        (message, String::from_utf8(output.stdout).unwrap())
    };
    let mut later = whole.clone();
    later[7] += 1;
    let (message, shown) = refused(&later);
    assert!(message.contains(&format!("format {}", later[7])) && message.contains("use the version"), "{message}");
    assert!(shown.is_empty());

    // The tag of the frame that begins before the middle: a byte, then the length of what follows.
    let mut at = 8;
    loop {
        let length = u32::from_le_bytes(whole[at + 1..at + 5].try_into().unwrap());
        let next = at + 5 + length as usize;
        if next > whole.len() / 2 {
            break;
        }
        at = next;
    }
    let mut damaged = whole;
    damaged[at] = b'?';
    let (message, shown) = refused(&damaged);
    assert!(message.contains(&format!("damaged at byte {at}:")), "{message}");
    assert!(shown.lines().count() > 10 && recorded.json.starts_with(&shown), "what comes before is shown as ever");
}
