//! The time of day.

use jiff::{Timestamp, tz::TimeZone};

/// Keeps the last second that was shown: what a time zone makes of a time takes longer than all the rest of a line.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: Option<i64>,
    /// `HH:MM:SS.mmm`, of which the end is another's.
    text: String,
}

impl Clock {
    /// `HH:MM:SS.mmm`.
    pub(super) fn show(&mut self, time: Timestamp, zone: &TimeZone) -> &str {
        let second = time.as_second();
        let Ok(milliseconds) = u16::try_from(time.subsec_millisecond()) else {
            // Before 1970, where parts of seconds count backwards.
            self.second = None;
            self.text = zone.to_datetime(time).strftime("%H:%M:%S%.3f").to_string();
            return &self.text;
        };
        // Offsets change between seconds, not within them.
        if self.second.replace(second) != Some(second) {
            self.text = zone.to_datetime(time).strftime("%H:%M:%S.").to_string();
        }
        self.text.truncate("HH:MM:SS.".len());
        let digit = |place: u16| char::from(b'0' + (milliseconds / place % 10) as u8);
        self.text.extend([digit(100), digit(10), digit(1)]);
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_what_strftime_does() {
        let mut clock = Clock::default();
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // Across a change of the offset, back, and before 1970.
        let times = ["2026-03-29T00:59:59.999999999Z", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00.042Z"];
        for time in
            times.into_iter().chain(["2026-03-29T00:59:59.1Z", "1969-12-31T23:59:59.25Z", "1970-01-01T00:00:00Z"])
        {
            let time: Timestamp = time.parse().unwrap();
            let expected = zone.to_datetime(time).strftime("%H:%M:%S%.3f").to_string();
            assert_eq!(clock.show(time, &zone), expected, "{time}");
        }
    }
}
