//! The README says what the code declares.

use std::{fs, path::Path};

use tracer::probes::{Blind, Probe};

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap()
}

#[test]
fn it_lists_what_mechanisms_do_not_see() {
    let readme = readme();
    for blind in Blind::ALL {
        let field = blind.field().map_or("-".to_owned(), |field| format!("`{field}`"));
        let row = format!("| {field} | {} |", blind.text());
        assert!(readme.contains(&row), "the README lacks the row\n{row}");
    }
}

#[test]
fn it_lists_every_event_of_the_plan() {
    let readme = readme();
    for probe in Probe::ALL {
        let title = match probe {
            // One row for both.
            Probe::LookupEhash | Probe::LookupListener => "ehash and listener lookup",
            _ => probe.title(),
        };
        assert!(readme.contains(&format!("| {title} |")), "the README lacks {title}");
    }
}
