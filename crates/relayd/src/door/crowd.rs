//! Counts the sessions at a door, all of them and those of each submitter, so that one of them cannot
//! take all the places and keep everybody else's mail out (I7).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// How many sessions there are.
#[derive(Default)]
pub(super) struct Places {
    taken: AtomicUsize,
    freed: Notify,
}

/// One session's place among all, until this is dropped.
pub(super) struct Taken(Arc<Places>);

impl Places {
    /// Waits until there are fewer than `most`, which is asked for anew whenever one ends. Only one
    /// may wait at a time.
    pub(super) async fn take(self: &Arc<Self>, most: impl Fn() -> usize) -> Taken {
        while self.taken.load(Ordering::Acquire) >= most() {
            self.freed.notified().await;
        }
        self.taken.fetch_add(1, Ordering::AcqRel);
        Taken(Arc::clone(self))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_one();
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

    #[tokio::test]
    async fn who_leaves_makes_room_for_who_waits() {
        let places = Arc::new(Places::default());
        let first = places.take(|| 1).await;
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { drop(places.take(|| 1).await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
        assert_eq!(places.taken.load(Ordering::Acquire), 0);
    }
}
