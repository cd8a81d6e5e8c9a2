//! Every line of JSON is as `tracer schema` says.

use std::{process::Command, sync::OnceLock};

use jsonschema::Validator;
use serde_json::Value;

/// Parses a line, and insists on its being as the schema has it. `tracer` is the binary under test.
pub(crate) fn object(line: &str, tracer: impl FnOnce() -> Command) -> Value {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    let validator = VALIDATOR.get_or_init(|| {
        let output = tracer().arg("schema").output().expect("the tracer starts");
        let schema = serde_json::from_slice(&output.stdout).expect("the schema is JSON");
        jsonschema::validator_for(&schema).expect("the schema is one")
    });
    let object = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    // To name what is wrong takes many times as long as to see that nothing is.
    if !validator.is_valid(&object) {
        let errors: Vec<String> = validator.iter_errors(&object).map(|error| error.to_string()).collect();
        panic!("{line}\nis not as the schema says: {errors:#?}");
    }
    object
}
