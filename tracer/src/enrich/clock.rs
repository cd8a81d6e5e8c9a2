//! Monotonic to wall-clock time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::Offset};
use nix::time::{ClockId, clock_gettime};
use serde::Serializer;

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

/// RFC 3339 in UTC, always with nine decimals, so that lines sort as text.
pub(crate) fn serialize_rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    match digits(*time) {
        Some(digits) => serializer.serialize_str(std::str::from_utf8(&digits).map_err(serde::ser::Error::custom)?),
        None => serializer.collect_str(&format_args!("{time:.9}")),
    }
}

/// Formats a time by hand, in a fraction of the library's time, for years of four digits without a sign.
fn digits(time: Timestamp) -> Option<[u8; 30]> {
    let moment = Offset::UTC.to_datetime(time);
    let year = u32::try_from(moment.year()).ok()?;
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    let mut fill = |places: std::ops::Range<usize>, mut value: u32| {
        for place in text[places].iter_mut().rev() {
            *place = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    fill(0..4, year);
    let small = |value: i8| u32::from(value.unsigned_abs());
    fill(5..7, small(moment.month()));
    fill(8..10, small(moment.day()));
    fill(11..13, small(moment.hour()));
    fill(14..16, small(moment.minute()));
    fill(17..19, small(moment.second()));
    fill(20..29, moment.subsec_nanosecond().unsigned_abs());
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_the_library_shows_them() {
        for text in [
            "2026-02-28T23:59:59.000000001Z",
            "1969-12-31T23:59:59.75Z",
            "0000-01-01T00:00:00Z",
            "9999-12-30T01:02:03Z",
        ] {
            let time: Timestamp = text.parse().unwrap();
            let digits = digits(time).unwrap();
            assert_eq!(std::str::from_utf8(&digits).unwrap(), format!("{time:.9}"));
        }
        assert_eq!(digits("-000001-01-01T00:00:00Z".parse().unwrap()), None);
    }
}
