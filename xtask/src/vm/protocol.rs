//! What this program, as the host's side and as the guest's init, agrees on.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Where init finds its orders.
pub(crate) const PLAN: &str = "plan.json";

const VERDICT: &str = "xtask-verdict: exit status ";

/// Init's orders.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Modules in the order of loading.
    pub(crate) modules: Vec<String>,
    /// Programs with their arguments, run one after the other.
    pub(crate) commands: Vec<Vec<String>>,
}

impl Plan {
    pub(crate) fn to_json(&self) -> String {
        json!({ "modules": self.modules, "commands": self.commands }).to_string()
    }

    pub(crate) fn from_json(text: &str) -> Result<Self> {
        let plan: Value = serde_json::from_str(text).context("the plan is not JSON")?;
        let read = || {
            Some(Self {
                modules: strings(&plan["modules"])?,
                commands: plan["commands"].as_array()?.iter().map(strings).collect::<Option<_>>()?,
            })
        };
        read().context("the plan lacks a part")
    }
}

fn strings(list: &Value) -> Option<Vec<String>> {
    let strings = list.as_array()?.iter().map(|it| it.as_str().map(str::to_owned));
    strings.collect()
}

/// Where a module lies in the initramfs.
pub(crate) fn module_path(name: &str) -> String {
    format!("modules/{name}.ko")
}

/// The guest's last line: the exit status of the first command that failed, or 0.
pub(crate) fn verdict(status: u8) -> String {
    format!("{VERDICT}{status}")
}

/// The status, if the line is the verdict.
pub(crate) fn parse_verdict(line: &str) -> Option<u8> {
    line.strip_prefix(VERDICT)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_understand_each_other() {
        let plan = Plan { modules: vec!["tun".into()], commands: vec![vec!["tracer".into(), "demo \"x\"\n".into()]] };
        assert_eq!(Plan::from_json(&plan.to_json()).expect("a plan"), plan);
        assert!(Plan::from_json("{}").is_err());
        assert_eq!(parse_verdict(&verdict(101)), Some(101));
        assert_eq!(parse_verdict("test a ... ok"), None);
    }
}
