//! Monotonic to wall-clock time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};

/// The distance between the two clocks, as it was when this was made.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    boot: Timestamp,
}

impl Clock {
    /// Reads both clocks.
    ///
    /// # Errors
    /// If a clock cannot be read, or the wall clock is not in the years -9999 to 9999.
    pub fn now() -> anyhow::Result<Self> {
        let wall = Timestamp::now();
        let mono = SignedDuration::try_from(Duration::from_nanos(monotonic_ns()?))?;
        Ok(Self { boot: wall.checked_sub(mono)? })
    }

    /// A clock that started at `boot`, for replayed records.
    pub fn since(boot: Timestamp) -> Self {
        Self { boot }
    }

    /// The wall-clock time at which `CLOCK_MONOTONIC` was zero.
    pub fn boot(self) -> Timestamp {
        self.boot
    }

    /// The wall-clock time of `mono_ns` on `CLOCK_MONOTONIC`.
    pub fn wall(self, mono_ns: u64) -> Timestamp {
        let mono = SignedDuration::try_from(Duration::from_nanos(mono_ns)).unwrap_or(SignedDuration::MAX);
        self.boot.saturating_add(mono).unwrap_or(Timestamp::MAX)
    }
}

/// `CLOCK_MONOTONIC` in nanoseconds.
///
/// # Errors
/// If the clock cannot be read.
pub fn monotonic_ns() -> nix::Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    Ok(seconds * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0))
}

/// `CLOCK_MONOTONIC` in nanoseconds; 0 if it cannot be read, which on Linux does not happen.
pub fn mono_now() -> u64 {
    monotonic_ns().unwrap_or(0)
}
