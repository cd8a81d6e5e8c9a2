//! Newline-delimited JSON: one object a line. The names are the README's.

use std::io::{self, Write};

use serde::Serialize;

use super::{Item, Sink};

/// One JSON object a line.
#[derive(Debug, Default)]
pub struct Json;

/// An object with its `event` member first.
#[derive(Serialize)]
struct Tagged<'a, T> {
    event: &'static str,
    #[serde(flatten)]
    rest: &'a T,
}

impl Sink for Json {
    fn write(&mut self, out: &mut dyn Write, item: Item<'_>) -> io::Result<()> {
        match item {
            Item::Start(info) => line(out, &Tagged { event: "start", rest: info }),
            // The scenario's events name it; its report follows them.
            Item::Scenario(..) => Ok(()),
            Item::Event(event) => line(out, event),
            Item::Report(report) => line(out, &Tagged { event: "scenario", rest: report }),
            Item::Summary(summary) => line(out, &Tagged { event: "summary", rest: summary }),
        }
    }
}

fn line(out: &mut dyn Write, object: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    out.write_all(b"\n")
}
