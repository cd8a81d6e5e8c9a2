//! From what was observed to what it means. Pure functions.

pub mod reason;
