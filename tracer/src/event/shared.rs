//! What many events have in common, such as the process that they are about.

use std::{
    borrow::Cow,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::{RawValue, to_raw_value};

/// A value that is there once, and so is its JSON: it would be made anew for each event, and be a third of all work.
#[derive(Debug)]
pub struct Shared<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    value: T,
    json: OnceLock<Box<RawValue>>,
}

impl<T> Shared<T> {
    /// Shares a value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Inner { value, json: OnceLock::new() }))
    }

    /// It is the very same, not only an equal one.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.value == other.0.value
    }
}

impl<T: Eq> Eq for Shared<T> {}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Inner { value, json } = &*self.0;
        let json = match json.get() {
            Some(json) => json,
            None => {
                let made = to_raw_value(value).map_err(S::Error::custom)?;
                json.get_or_init(|| made)
            }
        };
        json.serialize(serializer)
    }
}

/// The schema of the value.
impl<T: JsonSchema> JsonSchema for Shared<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Counts how often it is looked at.
    struct Number(Cell<u32>);

    impl Serialize for Number {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.set(self.0.get() + 1);
            serializer.serialize_str("a \"number\"")
        }
    }

    #[test]
    fn its_json_is_that_of_the_value_and_made_once() {
        let shared = Shared::new(Number(Cell::new(0)));
        let pair = [shared.clone(), shared.clone()];
        assert_eq!(serde_json::to_string(&pair).unwrap(), r#"["a \"number\"","a \"number\""]"#);
        assert_eq!(serde_json::to_value(&pair[0]).unwrap(), "a \"number\"");
        assert_eq!(shared.0.value.0.get(), 1);
        assert!(shared.is(&pair[1]) && !shared.is(&Shared::new(Number(Cell::new(0)))));
    }
}
