//! Numbers for people.

/// Nanoseconds in three digits or so: `213 us`, `12.3 ms`, `4.56 s`, `1 h 02 min`.
pub(super) fn duration(ns: u64) -> String {
    let digits = |value: f64, unit: &str| {
        let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
        format!("{value:.decimals$} {unit}")
    };
    match ns {
        7_200_000_000_000.. => format!("{} h {:02} min", ns / 3_600_000_000_000, ns / 60_000_000_000 % 60),
        120_000_000_000.. => format!("{} min {:02} s", ns / 60_000_000_000, ns / 1_000_000_000 % 60),
        999_500_000.. => digits(ns as f64 / 1e9, "s"),
        999_500.. => digits(ns as f64 / 1e6, "ms"),
        _ => format!("{} us", (ns + 500) / 1000),
    }
}

/// `1 SYN`, `2 SYNs`.
pub(super) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_about_three_digits() {
        let shown = [0, 499, 213_400, 999_499, 999_500, 12_345_678, 999_400_000, 1_234_000_000, 119_000_000_000];
        let expected = ["0 us", "0 us", "213 us", "999 us", "1.00 ms", "12.3 ms", "999 ms", "1.23 s", "119 s"];
        assert_eq!(shown.map(duration), expected);
        assert_eq!(duration(125_000_000_000), "2 min 05 s");
        assert_eq!(duration(3_720_000_000_000_000), "1033 h 20 min");
        assert_eq!([counted(1, "SYN"), counted(2, "SYN")], ["1 SYN", "2 SYNs"]);
    }
}
