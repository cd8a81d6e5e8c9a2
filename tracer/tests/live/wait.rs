//! Waiting for what the kernel does by itself.

use std::time::{Duration, Instant};

use anyhow::ensure;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Returns when the condition holds: the kernel may handle a segment later than it took it.
pub(crate) fn until(what: &str, condition: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    while !condition()? {
        ensure!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::yield_now();
    }
    Ok(())
}
