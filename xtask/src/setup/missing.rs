//! What the eBPF build lacks.

use std::fmt;

use anyhow::anyhow;

/// The remedy for whatever setup can do by itself.
pub(super) const SETUP: &str = "cargo xtask setup";

/// Something that the user has to provide, and the command that does.
pub(super) struct Missing {
    pub(super) what: &'static str,
    pub(super) remedy: String,
}

/// The error that lists it all.
pub(super) fn lacking(missing: &[Missing]) -> anyhow::Error {
    let lines: String = missing.iter().map(ToString::to_string).collect();
    anyhow!("the eBPF build lacks:{lines}")
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n  {:<38}{}", self.what, self.remedy)
    }
}
