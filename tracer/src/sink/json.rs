//! Newline-delimited JSON: one object per line. The names are those of docs/events.md and of `tracer schema`.

use std::io::{self, Write};

use schemars::{JsonSchema, Schema, generate::SchemaSettings, json_schema};
use serde::Serialize;

use super::{Item, Sink, foreign};
use crate::{
    event::{Event, Family},
    report::{Loss, RunInfo, ScenarioReport, Summary},
};

/// One JSON object per line.
#[derive(Debug, Default)]
pub struct Json {
    /// The last line, in a place that is used again.
    line: Vec<u8>,
}

impl Sink for Json {
    fn write(&mut self, out: &mut dyn Write, item: Item<'_>) -> io::Result<()> {
        match item {
            Item::Start(info) => self.line(out, &Line::Start(info)),
            // The scenario's events name it; its report follows them.
            Item::Scenario(..) => Ok(()),
            Item::Event(event) => self.line(out, event),
            Item::Loss(loss) => self.line(out, &Line::Loss(loss)),
            Item::Report(report, family) => self.line(out, &Line::Scenario { family, report }),
            Item::Summary(summary) => self.line(out, &Line::Summary(summary)),
        }
    }
}

/// A line that is no kernel event.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    /// The first line.
    Start(&'a RunInfo),
    /// Something was lost, in whole or in part.
    Loss(&'a Loss),
    /// The end of a demo's scenario.
    Scenario {
        /// Address family that it was played over.
        family: Family,
        #[serde(flatten)]
        report: &'a ScenarioReport,
    },
    /// The last line.
    Summary(&'a Summary),
}

impl Json {
    /// One object. Written at once: it is made of some hundred pieces, and each would be a call of `out`'s.
    pub(crate) fn line(&mut self, out: &mut dyn Write, object: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, object)?;
        foreign::escape_json(&mut self.line);
        self.line.push(b'\n');
        out.write_all(&self.line)
    }
}

/// The JSON Schema (2020-12) of a line, made of the types that are written.
pub fn schema() -> Schema {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let (event, line) = (generator.subschema_for::<Event>(), generator.subschema_for::<Line<'_>>());
    json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of `tracer -j`",
        "oneOf": [event, line],
        // Also for those who read: nothing comes that is not described here.
        "unevaluatedProperties": false,
        "$defs": generator.take_definitions(true),
    })
}
