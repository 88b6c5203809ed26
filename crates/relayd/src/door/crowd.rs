//! Counts the sessions of each submitter at a door, so that one of them cannot take all the places
//! and keep everybody else's mail out (I7).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Who is inside, and how often.
pub(super) struct Crowd {
    most: usize,
    inside: Mutex<HashMap<String, usize>>,
}

/// A place that is taken until this is dropped.
pub(super) struct Place {
    crowd: Arc<Crowd>,
    who: String,
}

impl Crowd {
    /// Lets each submitter have `most` sessions at once.
    pub(super) fn new(most: usize) -> Arc<Self> {
        let inside = Mutex::default();
        Arc::new(Self { most, inside })
    }

    /// A place for a submitter, unless it has its share.
    pub(super) fn enter(self: &Arc<Self>, who: String) -> Option<Place> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let count = inside.entry(who.clone()).or_default();
        if *count >= self.most {
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
        let crowd = Crowd::new(2);
        let first = crowd.enter("a".to_owned());
        let second = crowd.enter("a".to_owned());
        assert!(first.is_some() && second.is_some());
        assert!(crowd.enter("a".to_owned()).is_none());
        assert!(crowd.enter("b".to_owned()).is_some());
        drop((first, second));
        assert!(crowd.inside.lock().unwrap().is_empty());
        assert!(crowd.enter("a".to_owned()).is_some());
    }
}
