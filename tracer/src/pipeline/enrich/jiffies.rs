//! Times that the kernel counts in jiffies.

/// Values of CONFIG_HZ (kernel/Kconfig.hz).
const HERTZ: [u64; 4] = [100, 250, 300, 1000];

/// Milliseconds since the last acknowledgment, whose time is the low half of a counter; 0 until the first one.
pub(super) fn idle(last_ack: u32, jiffies: u64, mono_ns: u64) -> Option<u64> {
    let since = (last_ack != 0).then(|| u64::from((jiffies as u32).wrapping_sub(last_ack)))?;
    Some(since * 1000 / hertz(jiffies, mono_ns)?)
}

/// Jiffies in a second. The counter starts 300 s before its low half wraps (INITIAL_JIFFIES in
/// include/linux/jiffies.h) and runs as long as the monotonic clock. `None` near those 300 s, when it does
/// not tell.
pub(super) fn hertz(jiffies: u64, mono_ns: u64) -> Option<u64> {
    const WRAPS_AT: f64 = 300.0;
    let seconds = mono_ns as f64 / 1e9 - WRAPS_AT;
    let ticks = jiffies as f64 - 2f64.powi(32);
    let fits = |hertz: &&u64| (ticks - seconds * **hertz as f64).abs() < 3.0 * **hertz as f64;
    let mut fitting = HERTZ.iter().filter(fits);
    let found = fitting.next().copied();
    if fitting.next().is_some() { None } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_tells_how_fast_it_runs() {
        let at = |hertz: u64, seconds: u64| {
            let jiffies = (1u64 << 32) - 300 * hertz + seconds * hertz;
            super::hertz(jiffies, seconds * 1_000_000_000 + 500_000_000)
        };
        for hertz in HERTZ {
            assert_eq!(at(hertz, 20), Some(hertz));
            assert_eq!(at(hertz, 100_000), Some(hertz));
            assert_eq!(at(hertz, 300), None);
        }
    }
}
