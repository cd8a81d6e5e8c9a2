//! For tests: that much work takes as much more time as it is more, and not its square.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What takes less is not compared: the clock, caches and the allocator have their part in it.
const NOTHING: Duration = Duration::from_millis(50);
/// How often it is tried: what a neighbour on the machine does to one try, it does not do to all.
const TRIES: usize = 3;

/// The time that this thread has run. What else the machine does is not in it.
pub(crate) fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock of Linux").into()
}

/// Work of size `long` takes at most `ratio` times as long as of size `short`.
pub(crate) fn is_proportional(mut work: impl FnMut(usize), short: usize, long: usize, ratio: u32) -> bool {
    let mut time = |size| {
        let start = cpu_time();
        work(size);
        cpu_time() - start
    };
    (0..TRIES).any(|_| {
        let (short, long) = (time(short), time(long));
        long <= NOTHING || long <= short * ratio
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_is_told_from_a_line() {
        let spin = |steps: usize| assert!((0..steps as u64).map(std::hint::black_box).max().is_some());
        assert!(is_proportional(|size| spin(size * 20_000), 100, 800, 24));
        assert!(!is_proportional(|size| spin(size * size * 200), 100, 800, 24));
    }
}
