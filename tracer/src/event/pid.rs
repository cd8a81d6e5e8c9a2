//! Ids of processes and threads, as the tracer's pid namespace has them.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracer_ebpf::record::OUTSIDE;

/// An id in the tracer's pid namespace. A process outside of it has none there: it is shown by its id in the initial
/// namespace, as `host:812`, so that nobody takes that for the id of a process here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pid(u32);

/// What an id of a process outside begins with.
const HOST: &str = "host:";

impl Pid {
    /// As records have it.
    pub const fn of_record(raw: u32) -> Self {
        Self(raw)
    }

    /// The id, unless the process is outside.
    pub fn here(self) -> Option<u32> {
        (self.0 & OUTSIDE == 0).then_some(self.0)
    }

    /// Adds it to a text.
    pub(crate) fn push_to(self, out: &mut String) {
        if self.here().is_none() {
            out.push_str(HOST);
        }
        out.push_str(itoa::Buffer::new().format(self.number()));
    }

    fn number(self) -> u32 {
        self.0 & !OUTSIDE
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

impl Serialize for Pid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.here() {
            Some(id) => serializer.serialize_u32(id),
            None => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Pid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Here(u32),
            Outside(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Here(id) => Ok(Self(id & !OUTSIDE)),
            Either::Outside(text) => {
                let id = text.strip_prefix(HOST).and_then(|id| id.parse::<u32>().ok());
                id.map(|id| Self(id | OUTSIDE)).ok_or_else(|| serde::de::Error::custom("no id of a process"))
            }
        }
    }
}

impl JsonSchema for Pid {
    fn schema_name() -> Cow<'static, str> {
        "Pid".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Id in the tracer's pid namespace; `host:` and the id in the initial one for a process outside.",
            "oneOf": [
                { "type": "integer", "format": "uint32", "minimum": 0 },
                { "type": "string", "pattern": "^host:[0-9]+$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_outside_is_not_taken_for_one_here() {
        let (here, outside) = (Pid::of_record(812), Pid::of_record(812 | OUTSIDE));
        assert_eq!((here.to_string(), outside.to_string()), ("812".into(), "host:812".into()));
        assert_eq!((here.here(), outside.here()), (Some(812), None));
        for (pid, json) in [(here, "812"), (outside, r#""host:812""#)] {
            assert_eq!(serde_json::to_string(&pid).unwrap(), json);
            assert_eq!(serde_json::from_str::<Pid>(json).unwrap(), pid);
        }
        assert!(serde_json::from_str::<Pid>(r#""host:""#).is_err());
    }
}
