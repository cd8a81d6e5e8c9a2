//! What the load is told to do and what it answers: a line each.

use std::{num::NonZeroU64, time::Duration};

/// How long the load is to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Order {
    /// As often as it can in this time.
    For(Duration),
    /// So often, each of its threads.
    Times {
        /// How often.
        count: u64,
        /// A process whose computing is read at both ends of the work, and not some time later by who gave the order.
        bystander: Option<u32>,
    },
}

/// What was done in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) struct Done {
    /// How often, all threads together.
    pub(in crate::bench) operations: u64,
    /// For how long.
    pub(in crate::bench) nanoseconds: u64,
    /// Of the one that the order named.
    pub(in crate::bench) bystander: Option<Bystander>,
}

/// Nanoseconds that a process has computed in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) struct Bystander {
    /// When the work began.
    pub(in crate::bench) before: u64,
    /// When it was done.
    pub(in crate::bench) after: u64,
}

impl Order {
    /// The line that says it.
    pub(super) fn to_line(self) -> String {
        match self {
            Self::For(time) => format!("for {}", time.as_millis()),
            Self::Times { count, bystander } => format!("times {count} {}", bystander.unwrap_or(0)),
        }
    }

    /// The order that a line is.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let kind = words.next()?;
        let mut number = || words.next()?.parse::<u64>().ok();
        Some(match kind {
            "for" => Self::For(Duration::from_millis(number()?)),
            "times" => Self::Times { count: number()?, bystander: u32::try_from(number()?).ok().filter(|it| *it != 0) },
            _ => return None,
        })
    }
}

impl Done {
    /// Operations in a second.
    pub(in crate::bench) fn rate(self) -> f64 {
        self.operations as f64 * 1e9 / self.nanoseconds as f64
    }

    /// The line that says it.
    pub(super) fn to_line(self) -> String {
        let Self { operations, nanoseconds, bystander } = self;
        let bystander = bystander.map_or_else(String::new, |it| format!(" {} {}", it.before, it.after));
        format!("{operations} {nanoseconds}{bystander}")
    }

    /// What a line says.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let numbers: Vec<u64> = line.split(' ').map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let bystander = match numbers[..] {
            [_, _] => None,
            [_, _, before, after] => Some(Bystander { before, after }),
            _ => return None,
        };
        Some(Self { operations: numbers[0], nanoseconds: NonZeroU64::new(numbers[1])?.get(), bystander })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_arrives_as_it_was_given() {
        let orders = [
            Order::For(Duration::from_millis(250)),
            Order::Times { count: 3000, bystander: None },
            Order::Times { count: 1, bystander: Some(42) },
        ];
        for order in orders {
            assert_eq!(Order::parse(&order.to_line()), Some(order));
        }
        assert_eq!(Order::parse("times 3000"), None);
        assert_eq!(Order::parse("250"), None);
    }

    #[test]
    fn an_answer_arrives_as_it_was_given() {
        let done = Done { operations: 3000, nanoseconds: 1_500_000_000, bystander: None };
        let watched = Done { bystander: Some(Bystander { before: 7, after: 9 }), ..done };
        for done in [done, watched] {
            assert_eq!(Done::parse(&done.to_line()), Some(done));
        }
        assert_eq!(done.rate(), 2000.0);
        assert_eq!(Done::parse("3000"), None);
        assert_eq!(Done::parse("3000 0"), None, "no time");
    }
}
