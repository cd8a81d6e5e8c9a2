//! A line of JSON as a schema has it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jsonschema::Validator;
use serde_json::Value;

/// Parses a line, and insists on its being as the schema has it, which must be the same each time.
pub(crate) fn object(line: &str, schema: &Value) -> Value {
    let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let validator = validator(schema, object["event"].as_str().unwrap_or_default());
    // To name what is wrong takes many times as long as to see that nothing is.
    if !validator.is_valid(&object) {
        let errors: Vec<String> = validator.iter_errors(&object).map(|error| error.to_string()).collect();
        panic!("{line}\nis not as the schema says: {errors:#?}");
    }
    object
}

/// The schema's part for one kind of lines: to try the others, too, takes most of the time.
fn validator(schema: &Value, kind: &str) -> Arc<Validator> {
    static VALIDATORS: Mutex<Option<HashMap<String, Arc<Validator>>>> = Mutex::new(None);
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = validators.get_or_insert_default().entry(kind.to_owned()).or_insert_with(|| {
        let mut schema = schema.clone();
        let (mut found, mut other) = (None, Vec::new());
        for (name, definition) in schema["$defs"].as_object_mut().expect("the schema has definitions") {
            let Some(variants) = definition.get_mut("oneOf").and_then(Value::as_array_mut) else { continue };
            let is_it = |variant: &Value| variant["properties"]["event"]["const"] == kind;
            if variants.iter().any(is_it) {
                variants.retain(is_it);
                found = Some(format!("#/$defs/{name}"));
            } else {
                other.push(format!("#/$defs/{name}"));
            }
        }
        // A kind that none has is told by the whole.
        if found.is_some() {
            let parts = schema["oneOf"].as_array_mut().expect("the schema has parts");
            parts.retain(|part| !other.iter().any(|other| part["$ref"] == other.as_str()));
            assert!(!parts.is_empty(), "one of the parts has {kind}");
        }
        Arc::new(jsonschema::validator_for(&schema).expect("the schema is one"))
    });
    Arc::clone(validator)
}
