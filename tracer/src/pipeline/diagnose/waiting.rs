//! Events in the order in which they are told, while the first of them waits for what explains it.

use std::collections::VecDeque;

use crate::event::Event;

/// Events that wait, at most: some tenths of a second of as many as a machine can make. Without a bound a flood, or a
/// recording in which no time passes, would take all memory.
pub(super) const MOST: usize = 1 << 16;

/// A line that events join at the end, and may leave from the middle.
#[derive(Default)]
pub(super) struct Waiting {
    places: VecDeque<Place>,
    /// The last number that was given.
    last: u64,
    /// Places whose events have left.
    empty: usize,
}

/// The first one is never empty.
struct Place {
    /// Even where the event joined at the end; one less than the next one's where it came in between. So it never falls.
    number: u64,
    event: Option<Event>,
}

impl Waiting {
    /// Joins at the end; its number.
    pub(super) fn push(&mut self, event: Event) -> u64 {
        self.last += 2;
        self.places.push_back(Place { number: self.last, event: Some(event) });
        self.last
    }

    /// The first one.
    pub(super) fn front(&self) -> Option<&Event> {
        self.places.front()?.event.as_ref()
    }

    /// Takes the first one.
    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.places.pop_front()?.event;
        self.close_up();
        event
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.empty
    }

    /// There are as many as there may be, with those that have left from the middle.
    pub(super) fn is_full(&self) -> bool {
        self.places.len() >= MOST
    }

    /// Takes the one with this number out, if it is still there. Where it was is found without a search through all.
    pub(super) fn remove(&mut self, number: u64) {
        let at = self.places.partition_point(|place| place.number < number);
        if let Some(place) = self.places.get_mut(at).filter(|place| place.number == number)
            && place.event.take().is_some()
        {
            self.empty += 1;
            self.close_up();
        }
    }

    /// Joins before the last one, of those in the last `within` places, that is one to join before; else at the end. That
    /// one must have joined at the end itself. `is_it` says `None` where no earlier one can be.
    pub(super) fn insert_before(&mut self, event: Event, within: usize, is_it: impl Fn(&Event) -> Option<bool>) {
        let last = self.places.iter().rev().take(within).map(|place| match &place.event {
            Some(event) => is_it(event),
            None => Some(false),
        });
        match last.take_while(Option::is_some).position(|found| found == Some(true)) {
            Some(behind) => {
                let at = self.places.len() - 1 - behind;
                let number = self.places[at].number - 1;
                self.places.insert(at, Place { number, event: Some(event) });
            }
            None => drop(self.push(event)),
        }
    }

    /// Forgets the empty places at the front.
    fn close_up(&mut self) {
        while self.places.front().is_some_and(|place| place.event.is_none()) {
            self.places.pop_front();
            self.empty -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Body, Rst, RstKind},
        pipeline::diagnose::tests::event,
    };

    fn at(mono_ns: u64) -> Event {
        event(mono_ns, "10.0.0.1:80", "10.0.0.2:81", Body::Rst(Box::new(Rst::bare(RstKind::Peer))))
    }

    fn times(mut waiting: Waiting) -> Vec<u64> {
        std::iter::from_fn(|| waiting.pop()).map(|event| event.mono_ns).collect()
    }

    fn before(time: u64) -> impl Fn(&Event) -> Option<bool> {
        move |event| Some(event.mono_ns == time)
    }

    #[test]
    fn who_leaves_is_found_by_number_whoever_came_in_between() {
        let mut waiting = Waiting::default();
        let numbers = [10, 20, 30].map(|time| waiting.push(at(time)));
        for (time, next) in [(8, 10), (9, 10), (19, 20), (21, 30), (22, 30)] {
            waiting.insert_before(at(time), 9, before(next));
        }
        waiting.remove(numbers[1]);
        waiting.remove(numbers[1]);
        assert_eq!((waiting.len(), waiting.front().unwrap().mono_ns), (7, 8));
        assert_eq!(times(waiting), [8, 9, 10, 19, 21, 22, 30]);
    }

    #[test]
    fn the_first_one_may_leave_and_so_may_all() {
        let mut waiting = Waiting::default();
        let numbers = [10, 20, 30].map(|time| waiting.push(at(time)));
        waiting.remove(numbers[1]);
        waiting.remove(numbers[0]);
        assert_eq!((waiting.len(), waiting.front().unwrap().mono_ns), (1, 30));
        waiting.remove(numbers[2]);
        assert_eq!(waiting.len(), 0);
        assert!(waiting.front().is_none() && waiting.pop().is_none());
        waiting.remove(numbers[2]);
        let next = waiting.push(at(40));
        assert!(next > numbers[2]);
        assert_eq!(times(waiting), [40]);
    }

    #[test]
    fn one_joins_before_the_last_of_those_that_may_be_or_at_the_end() {
        let line = |within, is_it: &dyn Fn(&Event) -> Option<bool>| {
            let mut waiting = Waiting::default();
            for time in [10, 20, 20, 30] {
                waiting.push(at(time));
            }
            waiting.insert_before(at(5), within, is_it);
            times(waiting)
        };
        assert_eq!(line(4, &before(20)), [10, 20, 5, 20, 30]);
        assert_eq!(line(1, &before(20)), [10, 20, 20, 30, 5], "too far");
        assert_eq!(line(4, &|event| (event.mono_ns > 20).then_some(false)), [10, 20, 20, 30, 5], "too early");
    }
}
