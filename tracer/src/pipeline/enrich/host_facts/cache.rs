//! Answers that are kept, within bounds.

use std::{
    hash::Hash,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use lru::LruCache;

/// How many answers are kept of each sort.
pub(super) const KEPT: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// How long an answer that may change is believed.
pub(super) const BELIEVED: Duration = Duration::from_secs(1);

/// Answers by key. One that was found is final; one that was not is asked for again, but not at each event.
pub(super) struct Cache<K: Hash + Eq, V> {
    answers: LruCache<K, Answer<V>>,
    patience: Duration,
}

enum Answer<V> {
    Found(V),
    Missed(Instant),
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    fn new(patience: Duration) -> Self {
        Self { answers: LruCache::new(KEPT), patience }
    }

    /// The answer that is known, or the one that `ask` gives.
    pub(super) fn get(&mut self, key: K, ask: impl FnOnce() -> Option<V>) -> Option<V> {
        match self.answers.get(&key) {
            Some(Answer::Found(value)) => return Some(value.clone()),
            Some(Answer::Missed(at)) if at.elapsed() < self.patience => return None,
            Some(Answer::Missed(_)) | None => {}
        }
        let found = ask();
        self.answers.put(key, found.clone().map_or_else(|| Answer::Missed(Instant::now()), Answer::Found));
        found
    }
}

impl<K: Hash + Eq, V: Clone> Default for Cache<K, V> {
    fn default() -> Self {
        Self::new(BELIEVED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_not_asked_again() {
        let mut cache = Cache::new(Duration::ZERO);
        assert_eq!(cache.get(1, || Some("one")), Some("one"));
        assert_eq!(cache.get(1, || unreachable!()), Some("one"));
    }

    #[test]
    fn only_the_last_answers_are_kept_found_or_missed() {
        let mut cache = Cache::<usize, usize>::new(Duration::from_secs(3600));
        for key in 0..3 * KEPT.get() {
            cache.get(key, || (key % 2 == 0).then_some(key));
            assert!(cache.answers.len() <= KEPT.get());
        }
        assert_eq!(cache.get(3 * KEPT.get() - 2, || unreachable!()), Some(3 * KEPT.get() - 2));
    }

    #[test]
    fn what_was_missed_is_asked_again_but_not_at_once() {
        let mut patient = Cache::<u8, u8>::new(Duration::from_secs(3600));
        assert_eq!(patient.get(1, || None), None);
        assert_eq!(patient.get(1, || Some(1)), None);
        let mut impatient = Cache::<u8, u8>::new(Duration::ZERO);
        assert_eq!(impatient.get(1, || None), None);
        assert_eq!(impatient.get(1, || Some(1)), Some(1));
    }
}
