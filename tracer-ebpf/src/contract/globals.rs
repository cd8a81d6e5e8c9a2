//! The names of the read-only globals that user space sets before the programs are verified. Each is a static of that name
//! in a file of the programs; its type and what it is for are said there. The offsets of fields are globals, too: those
//! are named by [`crate::layout`], and those that switch filters on by [`crate::criteria::switches`].

names! {
    DEATHS_ONLY: "`filter.rs`";
    LOWEST_PORT: "`filter.rs`";
    HIGHEST_PORT: "`filter.rs`";
    REPORTED: "`filter.rs`";
    COOKIE_HELPER: "`features.rs`";
    TASK_REGS_HELPER: "`features.rs`";
    RESET_TP_PASSIVE: "`features.rs`";
    ERROR_STAYS: "`change.rs`";
    RESET_IS_CONSUMED: "`hooks/stray.rs`";
    BASELINE: "`baseline.rs`";
    STACKS: "`rst.rs`";
    TCP_STATE: "`rst.rs`";
    PID_NAMESPACE: "`pid.rs`";
    WAKE_AT: "`emit.rs`";
}
