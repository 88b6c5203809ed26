//! Counts the sessions at a door, all of them and those of each submitter, so that one of them cannot
//! take all the places and keep everybody else's mail out (I7).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// That a door is full is said no more often than this, however many are sent away.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// How many sessions there are.
#[derive(Default)]
pub(super) struct Places {
    taken: AtomicUsize,
    /// When it was last said that there is no place.
    said: Mutex<Option<Instant>>,
}

/// One session's place among all, until this is dropped.
pub(super) struct Taken(Arc<Places>);

impl Places {
    /// A place, if there are fewer than `most` sessions.
    pub(super) fn take(self: &Arc<Self>, most: usize) -> Option<Taken> {
        let more = |taken| (taken < most).then_some(taken + 1);
        let order = Ordering::AcqRel;
        let taken = self.taken.fetch_update(order, Ordering::Acquire, more);
        taken.ok().map(|_| Taken(Arc::clone(self)))
    }

    /// Whether it should be said now that there is no place.
    pub(super) fn is_news(&self, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let news = said.is_none_or(|last| now.saturating_duration_since(last) >= SAID_EVERY);
        if news {
            *said = Some(now);
        }
        news
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Who is inside, and how often.
#[derive(Default)]
pub(super) struct Crowd {
    inside: Mutex<HashMap<String, usize>>,
}

/// A place that is taken until this is dropped.
pub(super) struct Place {
    crowd: Arc<Crowd>,
    who: String,
}

impl Crowd {
    /// A place for a submitter, unless it has `most` already.
    pub(super) fn enter(self: &Arc<Self>, who: String, most: usize) -> Option<Place> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let count = inside.entry(who.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        let crowd = Arc::clone(self);
        Some(Place { crowd, who })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let inside = self.crowd.inside.lock();
        let mut inside = inside.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = inside.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_share_and_leaves_nothing_behind() {
        let crowd = Arc::new(Crowd::default());
        let first = crowd.enter("a".to_owned(), 2);
        let second = crowd.enter("a".to_owned(), 2);
        assert!(first.is_some() && second.is_some());
        assert!(crowd.enter("a".to_owned(), 2).is_none());
        assert!(crowd.enter("b".to_owned(), 2).is_some());
        drop((first, second));
        assert!(crowd.inside.lock().unwrap().is_empty());
        assert!(crowd.enter("a".to_owned(), 2).is_some());
    }

    #[test]
    fn who_leaves_makes_room() {
        let places = Arc::new(Places::default());
        let first = places.take(1);
        assert!(first.is_some() && places.take(1).is_none());
        assert!(places.take(2).is_some(), "the settings were changed");
        drop(first);
        assert_eq!(places.taken.load(Ordering::Acquire), 0);
        assert!(places.take(1).is_some());
    }

    #[test]
    fn a_full_door_is_not_news_again_and_again() {
        let (places, now) = (Places::default(), Instant::now());
        assert!(places.is_news(now));
        assert!(!places.is_news(now + SAID_EVERY / 2));
        assert!(places.is_news(now + SAID_EVERY));
    }
}
