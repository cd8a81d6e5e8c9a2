//! What is left of the file system to a process that reads one file: nothing but the time zones.
//!
//! Not for a live run: Landlock also forbids to look at the namespaces and descriptors of processes outside
//! (`hook_ptrace_access_check` in security/landlock), and these name containers and readers.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

/// The newest rules that are known here; of an older kernel those that it has are enforced.
const NEWEST: ABI = ABI::V6;

/// Where time zones are, which are read when the first time is shown.
const TIME_ZONES: [&str; 3] = ["/usr/share/zoneinfo", "/etc/localtime", "/etc/timezone"];

/// From here on the calling thread opens only the time zones, and no connection. Whether the kernel enforces anything.
pub(super) fn restrict() -> Result<bool, RulesetError> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(TIME_ZONES, AccessFs::from_read(NEWEST)))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// The kernel has Landlock, and it is switched on.
pub(super) fn is_there() -> bool {
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    rules.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}
