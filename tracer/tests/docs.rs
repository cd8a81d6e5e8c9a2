//! The documents say what the code declares.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use clap::{CommandFactory as _, ValueEnum as _};
use serde_json::Value;
use tracer::{
    cli::Cli,
    confine::capabilities::{USES, losses},
    demo::scenarios,
    event::Kind,
    kernel::probes::{Limitation, Probe},
    pipeline::diagnose::{causes, deaths, queue},
    sink::json,
};

fn document(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

#[test]
fn the_limits_list_what_mechanisms_do_not_see() {
    let limits = document("docs/limits.md");
    for limitation in Limitation::ALL {
        let field = limitation.field().map_or("-".to_owned(), |field| format!("`{field}`"));
        let row = format!("| {field} | {} |", limitation.text());
        assert!(limits.contains(&row), "docs/limits.md lacks the row\n{row}");
    }
}

#[test]
fn the_limits_list_every_event_of_the_plan() {
    let limits = document("docs/limits.md");
    for probe in Probe::ALL {
        let title = match probe {
            // One row for both.
            Probe::LookupEhash | Probe::LookupListener => "ehash and listener lookup",
            _ => probe.title(),
        };
        assert!(limits.contains(&format!("| {title} |")), "docs/limits.md lacks {title}");
    }
}

#[test]
fn the_events_list_every_kind_and_every_field_of_json() {
    let events = document("docs/events.md");
    for kind in Kind::ALL {
        let value = kind.to_possible_value().unwrap();
        let row = format!("| `{}` | `{}` |", value.get_name(), kind.name());
        assert!(events.contains(&row), "docs/events.md lacks the row that begins with\n{row}");
    }
    let mut names = BTreeSet::new();
    collect(json::schema().as_value(), &mut names);
    assert!(names.len() > 100, "{names:?}");
    let missing: Vec<_> = names.into_iter().filter(|name| !events.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/events.md lacks {missing:?}");
}

/// The names of all members that the schema describes.
fn collect(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                names.extend(properties.keys().cloned());
            }
            members.values().for_each(|member| collect(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        _ => {}
    }
}

#[test]
fn the_security_page_lists_what_capabilities_are_for() {
    let page = document("SECURITY.md");
    for entry in &USES {
        let row = format!("| {} | {} | {} |", entry.capability, entry.purpose, entry.stays.name());
        assert!(page.contains(&row), "SECURITY.md lacks {row}");
    }
    for (capability, what) in losses() {
        assert!(page.contains(&format!("| {capability} | {what} |")), "SECURITY.md lacks {capability}");
    }
}

/// A promise that names a test is kept by one.
#[test]
fn the_tests_that_the_security_page_names_exist() {
    let page = document("SECURITY.md");
    let tests: Vec<_> = page.split('`').filter_map(|code| code.split_once("::")).collect();
    assert!(tests.len() > 10, "{tests:?}");
    for (module, test) in tests {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let files = ["anywhere", "live", "golden"].map(|suite| tests.join(suite).join(format!("{module}.rs")));
        let has = |text: String| text.contains(&format!("fn {test}()"));
        let is_there = files.iter().any(|file| fs::read_to_string(file).is_ok_and(has));
        assert!(is_there, "SECURITY.md names {module}::{test}");
    }
}

#[test]
fn the_usage_names_every_command_option_and_scenario() {
    let usage = document("docs/usage.md");
    let mut missing = Vec::new();
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        if !usage.contains(&format!("tracer {name}")) {
            missing.push(name.to_owned());
        }
    }
    let command = Cli::command();
    let options = command.get_arguments().chain(command.get_subcommands().flat_map(clap::Command::get_arguments));
    let names: BTreeSet<_> = options.filter_map(clap::Arg::get_long).map(|long| format!("--{long}")).collect();
    missing.extend(names.into_iter().filter(|long| !usage.contains(long)));
    missing.extend(scenarios::names().map(str::to_owned).into_iter().filter(|name| !usage.contains(name)));
    assert!(missing.is_empty(), "docs/usage.md lacks {missing:?}");
}

#[test]
fn the_usage_shows_a_rst_as_it_is_shown() {
    let usage = document("docs/usage.md");
    let (_, after) = usage.split_once("--evidence`:\n\n").expect("docs/usage.md shows an example with its evidence");
    let example: Vec<_> = after.lines().map_while(|line| line.strip_prefix("    ")).collect();
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/trace.recording");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    let output = command.env("TZ", "UTC").args(["replay", "-e", "rst", "--evidence"]).arg(recording).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(example.len() > 10 && shown.contains(&example.join("\n")), "docs/usage.md differs from\n{shown}");
}

#[test]
fn every_cause_has_a_row_and_a_paragraph() {
    let document = document("docs/causes.md");
    let of_rsts = causes::ALL.iter().map(|cause| cause.id);
    for id in of_rsts.chain(deaths::ALL.iter().map(|death| death.id)).chain([queue::FULL.id]) {
        assert!(document.contains(&format!("\n| `{id}` |")), "docs/causes.md has no row for {id}");
        assert!(document.contains(&format!("\n**`{id}`**")), "docs/causes.md has no paragraph for {id}");
    }
}

#[test]
fn what_the_documents_link_to_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages: Vec<_> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(String::from).to_vec();
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    pages.extend(docs.map(|name| format!("docs/{name}")));
    for page in pages {
        let text = document(&page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let path = link.split('#').next().unwrap();
            let target = root.join(&page).parent().unwrap().join(path);
            assert!(target.exists(), "{page} links to {path}, which is not there");
        }
    }
}

#[test]
fn the_readme_is_an_entrance() {
    assert!(document("README.md").lines().count() <= 150);
}
