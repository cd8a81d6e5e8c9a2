//! The events of the running scenario, as the probes deliver them: what a scenario waits on.
//!
//! A scenario never sleeps to let the kernel get somewhere; it waits until a probe has seen it there. Two threads meet
//! here: the scenario's, which waits, and the reader's, which may be late, since it also names functions, looks up
//! processes and writes. So time alone ends no wait: the reader must also have read what had happened by then.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::event::Event;

/// A shared, growing list of one scenario's events. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    shared: Arc<(Mutex<Log>, Condvar)>,
}

/// What the reader has read.
#[derive(Debug, Default)]
struct Log {
    events: Vec<Event>,
    /// All that had happened by then is among the events.
    complete_until: Option<Instant>,
}

/// An event that a scenario relies on did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("waited {:.1} s for {what}, but no probe reported it", within.as_secs_f32())]
pub struct NotSeen {
    what: &'static str,
    within: Duration,
}

impl Feed {
    /// Appends an event and wakes those who wait.
    pub fn push(&self, event: Event) {
        self.lock().events.push(event);
        self.shared.1.notify_all();
    }

    /// Says that all events up to `mark`, which the reader took before it began to read, have been pushed.
    pub fn is_complete_until(&self, mark: Instant) {
        self.lock().complete_until = Some(mark);
        self.shared.1.notify_all();
    }

    /// All events so far, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// The first event, past or to come, that `wanted` accepts.
    ///
    /// # Errors
    /// [`NotSeen`] if there is none within `within`. This may take longer, until the reader has read what had happened
    /// by then.
    pub fn wait(
        &self,
        what: &'static str,
        within: Duration,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Result<Event, NotSeen> {
        let deadline = Instant::now() + within;
        let mut log = self.lock();
        let mut checked = 0;
        loop {
            if let Some(found) = log.events[checked..].iter().find(|event| wanted(event)) {
                return Ok(found.clone());
            }
            checked = log.events.len();
            if log.complete_until.is_some_and(|mark| mark >= deadline) {
                return Err(NotSeen { what, within });
            }
            log = self.shared.1.wait(log).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The last mark.
    #[cfg(test)]
    pub(super) fn complete_until(&self) -> Option<Instant> {
        self.lock().complete_until
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;
    use crate::{
        demo::scenarios::tests::{CLIENT, SERVER, Seen, segment},
        event::Flags,
    };

    const WITHIN: Duration = Duration::ZERO;

    /// Of two sockets.
    fn two_events() -> [Event; 2] {
        let mut seen = Seen::default();
        seen.raw_send(CLIENT, segment(Flags::SYN, 1, 0));
        seen.raw_send(SERVER, segment(Flags::SYN, 2, 0));
        seen.events.try_into().expect("two events")
    }

    /// Waits for the second event, `within` no time, on a thread of its own. Returns when it has looked at the first,
    /// which is there, and has not found it.
    fn waiting(feed: &Feed, first: Event) -> thread::JoinHandle<Result<Event, NotSeen>> {
        feed.push(first);
        let (looked, has_looked) = mpsc::channel();
        let feed = feed.clone();
        let waiting = thread::spawn(move || {
            feed.wait("the second event", WITHIN, |event| {
                // Nobody asks any more when it looks at the second one.
                let _ = looked.send(());
                event.local == SERVER.local
            })
        });
        has_looked.recv().expect("it looks at what is there");
        waiting
    }

    #[test]
    fn an_event_that_is_there_is_found_however_late_one_waits() {
        let (feed, [_, event]) = (Feed::default(), two_events());
        feed.push(event);
        feed.is_complete_until(Instant::now());
        let found = feed.wait("the event", WITHIN, |event| event.local == SERVER.local);
        assert_eq!(found.expect("it is there").local, SERVER.local);
    }

    #[test]
    fn a_reader_that_is_late_is_waited_for() {
        let (feed, [first, second]) = (Feed::default(), two_events());
        // Taken before the wait began: what it says is not enough to end that.
        let early = Instant::now();
        let waiting = waiting(&feed, first);
        feed.is_complete_until(early);
        assert!(!waiting.is_finished(), "its time is up, but the reader has not read what happened meanwhile");
        feed.push(second);
        assert_eq!(waiting.join().expect("no panic").expect("it came").local, SERVER.local);
    }

    #[test]
    fn what_does_not_come_is_said_when_all_was_read() {
        let (feed, [first, _]) = (Feed::default(), two_events());
        let waiting = waiting(&feed, first);
        feed.is_complete_until(Instant::now());
        let error = waiting.join().expect("no panic").expect_err("it did not come");
        assert_eq!(error.to_string(), "waited 0.0 s for the second event, but no probe reported it");
    }
}
