//! A subject's turn between two untraced ones. A machine's speed changes within a round, too: only what was measured
//! right before and right after is of the same machine.

use anyhow::Result;

use super::stolen::TOLERABLE;

/// How often a turn is repeated at most because it was disturbed.
const REPEATS: usize = 3;

/// What a turn gave, whosever it was.
pub(super) struct Turn<T> {
    /// Operations in a second.
    pub(super) rate: f64,
    /// How much of a processor's time was stolen meanwhile.
    pub(super) stolen: f64,
    /// What else there is to say of it.
    pub(super) more: T,
}

/// A turn that counts.
pub(super) struct Paired<T> {
    pub(super) turn: Turn<T>,
    /// Its rate to the mean of the untraced ones before and after it.
    pub(super) ratio: f64,
    /// How many were thrown away for it.
    pub(super) thrown: usize,
    /// Whether it was disturbed as well, only less than those.
    pub(super) is_disturbed: bool,
}

/// The untraced turns, each of which is after one subject's and before the next one's.
pub(super) struct Untraced<F> {
    take: F,
    last: (f64, f64),
    /// All their rates.
    pub(super) rates: Vec<f64>,
    /// The rate of each to that of the one before: what the machine does by itself.
    pub(super) ratios: Vec<f64>,
}

impl<F: FnMut() -> Result<Turn<()>>> Untraced<F> {
    /// Takes the first turn.
    pub(super) fn begin(mut take: F) -> Result<Self> {
        let Turn { rate, stolen, more: () } = take()?;
        Ok(Self { take, last: (rate, stolen), rates: vec![rate], ratios: Vec::new() })
    }

    /// Takes a subject's turn and an untraced one, and both again while something disturbs them.
    pub(super) fn pair<T>(&mut self, mut take: impl FnMut() -> Result<Turn<T>>) -> Result<Paired<T>> {
        let mut best: Option<(f64, Turn<T>, f64)> = None;
        let mut thrown = 0;
        for attempt in 0..=REPEATS {
            let (before, disturbed_before) = self.last;
            let turn = take()?;
            let (after, disturbed_after) = self.advance()?;
            let stolen = turn.stolen.max(disturbed_before).max(disturbed_after);
            let ratio = turn.rate / f64::midpoint(before, after);
            if best.as_ref().is_none_or(|(least, ..)| stolen < *least) {
                best = Some((stolen, turn, ratio));
            }
            thrown = attempt;
            if stolen <= TOLERABLE {
                break;
            }
        }
        let Some((stolen, turn, ratio)) = best else { unreachable!("there is a first attempt") };
        Ok(Paired { turn, ratio, thrown, is_disturbed: stolen > TOLERABLE })
    }

    fn advance(&mut self) -> Result<(f64, f64)> {
        let (before, _) = self.last;
        let Turn { rate, stolen, more: () } = (self.take)()?;
        self.rates.push(rate);
        self.ratios.push(rate / before);
        self.last = (rate, stolen);
        Ok(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns with these rates and stolen times, one after the other.
    fn script<const COUNT: usize>(turns: [(f64, f64); COUNT]) -> impl FnMut() -> Result<Turn<()>> {
        let mut turns = turns.into_iter();
        move || {
            let (rate, stolen) = turns.next().expect("another turn");
            Ok(Turn { rate, stolen, more: () })
        }
    }

    #[test]
    fn a_turn_is_compared_with_its_neighbours() -> Result<()> {
        let mut untraced = Untraced::begin(script([(100.0, 0.0), (80.0, 0.0), (50.0, 0.0)]))?;
        let paired = untraced.pair(script([(45.0, 0.0)]))?;
        assert_eq!((paired.ratio, paired.thrown, paired.is_disturbed), (0.5, 0, false));
        let next = untraced.pair(script([(65.0, 0.0)]))?;
        assert_eq!(next.ratio, 1.0);
        assert_eq!(untraced.rates, [100.0, 80.0, 50.0]);
        assert_eq!(untraced.ratios, [0.8, 0.625]);
        Ok(())
    }

    #[test]
    fn what_was_disturbed_is_thrown_away() -> Result<()> {
        // First the turn is disturbed, then the untraced one after it, which is the one before the third attempt.
        let mut untraced =
            Untraced::begin(script([(100.0, 0.0), (100.0, 0.0), (40.0, 0.5), (100.0, 0.0), (100.0, 0.0)]))?;
        let paired = untraced.pair(script([(10.0, 0.1), (50.0, 0.0), (50.0, 0.0), (60.0, 0.0)]))?;
        assert_eq!((paired.ratio, paired.thrown, paired.is_disturbed), (0.6, 3, false));
        Ok(())
    }

    #[test]
    fn on_a_machine_that_is_never_quiet_the_least_disturbed_counts() -> Result<()> {
        let mut untraced = Untraced::begin(script([(100.0, 0.0); 5]))?;
        let paired = untraced.pair(script([(10.0, 0.4), (20.0, 0.1), (30.0, 0.2), (40.0, 0.3)]))?;
        assert_eq!((paired.turn.rate, paired.thrown, paired.is_disturbed), (20.0, 3, true));
        Ok(())
    }
}
