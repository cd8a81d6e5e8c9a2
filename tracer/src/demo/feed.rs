//! The events of the running scenario, as the probes deliver them: what a scenario waits on.
//!
//! A scenario never sleeps to let the kernel get somewhere; it waits until a probe has seen it there.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::event::Event;

/// A shared, growing list of one scenario's events. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    shared: Arc<(Mutex<Vec<Event>>, Condvar)>,
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
        self.lock().push(event);
        self.shared.1.notify_all();
    }

    /// All events so far, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// The first event, past or to come, that `wanted` accepts.
    ///
    /// # Errors
    /// [`NotSeen`] if there is none within `within`.
    pub fn wait(
        &self,
        what: &'static str,
        within: Duration,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Result<Event, NotSeen> {
        let deadline = Instant::now() + within;
        let mut events = self.lock();
        let mut checked = 0;
        loop {
            if let Some(found) = events[checked..].iter().find(|event| wanted(event)) {
                return Ok(found.clone());
            }
            checked = events.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NotSeen { what, within });
            }
            let waited = self.shared.1.wait_timeout(events, left);
            events = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
