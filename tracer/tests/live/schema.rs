//! Every line of JSON is as `tracer schema` says.

use std::{process::Command, sync::OnceLock};

use serde_json::Value;

// By its path: this file is included from elsewhere, too.
#[path = "valid.rs"]
mod valid;

/// Parses a line, and insists on its being as the schema has it. `tracer` is the binary under test.
pub(crate) fn object(line: &str, tracer: impl FnOnce() -> Command) -> Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| {
        let output = tracer().arg("schema").output().expect("the tracer starts");
        serde_json::from_slice(&output.stdout).expect("the schema is JSON")
    });
    valid::object(line, schema)
}
