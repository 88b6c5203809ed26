//! Waiting for something that another process does, with an end: asks again after 1 ms, then 2, 4 … up to 50 ms.
//!
//! The one place in the suites that lets time pass. A wait ends as soon as its condition holds; none has a fixed length.

use std::time::{Duration, Instant};

/// Asks `ready` until it gives something; `None` when `limit` has passed without.
pub fn until<T>(limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(found) = ready() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::park_timeout(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Asks `ready` until it says yes. Panics with `what` when `limit` has passed without.
#[track_caller]
pub fn expect(what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
    if until(limit, || ready().then_some(())).is_none() {
        panic!("waited {limit:?} in vain: {what}");
    }
}
