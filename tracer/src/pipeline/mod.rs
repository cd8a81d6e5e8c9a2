//! From a record's bytes to an event with its verdict: decoded, named, explained.

pub mod decode;
pub mod diagnose;
pub mod enrich;
