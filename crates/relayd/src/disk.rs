//! The threads that work on the disk. All that may block on it is done here, off the thread that
//! serves the connections, and apart from what waits for others, such as name lookups: a resolver
//! that is silent keeps no mail from being taken in.
//!
//! There are enough threads for their syncs to overlap, so that the disk does many at once, and so
//! few that under load one goes from work to work without sleeping in between.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// With so many threads at work, one of them is soon free, unless the whole disk hangs.
const AWAKE: usize = 3;

type Job = Box<dyn FnOnce() + Send>;

/// The threads and the work that waits for them. Dropping it ends them once all work is done.
pub(crate) struct Disk(Arc<Room>);

#[derive(Default)]
struct Room {
    state: Mutex<State>,
    /// There is work, or no more will come.
    work: Condvar,
    /// A thread has nothing to do.
    idle: Condvar,
}

#[derive(Default)]
struct State {
    /// Whoever brings work waits for it to be done, so there is no more of it than there are
    /// sessions, whose number has its limits.
    jobs: VecDeque<Job>,
    busy: usize,
    sleeping: usize,
    closed: bool,
}

/// Work that was brought; it is done whether or not somebody waits for it.
pub(crate) struct Doing<T>(oneshot::Receiver<T>);

/// The work ended in a panic, which is a fault of ours and was printed.
#[derive(Debug)]
pub(crate) struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("relayd failed at its work on the disk")
    }
}

impl<T> Future for Doing<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map_err(|_gone| Panicked)
    }
}

impl Disk {
    /// Starts so many threads.
    ///
    /// # Errors
    /// The system has none left.
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let disk = Self(Arc::default());
        for _ in 0..threads {
            let room = Arc::clone(&disk.0);
            thread::Builder::new()
                .name("disk".to_owned())
                .spawn(move || room.serve())?;
        }
        Ok(disk)
    }

    /// Has work done that may block on the disk.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Doing<T> {
        self.bring(work, |state| state.sleeping > 0)
    }

    /// Has work done that is short as a rule, since it syncs nothing: by one of the threads that are
    /// awake, if there are some. Waking another would take longer than the work.
    pub(crate) fn run_soon<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Doing<T> {
        self.bring(work, |state| state.sleeping > 0 && state.busy < AWAKE)
    }

    fn bring<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        wakes: impl FnOnce(&State) -> bool,
    ) -> Doing<T> {
        let (result, doing) = oneshot::channel();
        let mut state = self.0.lock();
        state.jobs.push_back(Box::new(move || {
            // Nobody may wait any more.
            let _ = result.send(work());
        }));
        let wake = wakes(&state);
        drop(state);
        if wake {
            self.0.work.notify_one();
        }
        Doing(doing)
    }

    /// Waits until all work is done, but no longer than `within`.
    pub(crate) fn finish(&self, within: Duration) {
        let under_way = |state: &mut State| state.busy > 0 || !state.jobs.is_empty();
        let _ = self
            .0
            .idle
            .wait_timeout_while(self.0.lock(), within, under_way);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.work.notify_all();
    }
}

impl Room {
    /// One thread's life.
    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.busy += 1;
                drop(state);
                // The thread is needed for the next work; whoever waits sees that this one failed.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
                state.busy -= 1;
            } else if state.closed {
                return;
            } else {
                state.sleeping += 1;
                self.idle.notify_all();
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.sleeping -= 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No work is done under the lock, so nothing panics there.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn work_overlaps_and_each_has_its_own_result() {
        let disk = Disk::start(2).unwrap();
        // Each waits for the other, so neither ends unless both are under way.
        let ((to_first, first), (to_second, second)) = (mpsc::channel(), mpsc::channel());
        let one = disk.run(move || {
            to_second.send(1).unwrap();
            first.recv().unwrap()
        });
        let other = disk.run(move || {
            to_first.send(2).unwrap();
            second.recv().unwrap()
        });
        assert_eq!((one.await.unwrap(), other.await.unwrap()), (2, 1));
    }

    #[tokio::test]
    async fn a_panic_is_told_and_the_thread_lives_on() {
        let disk = Disk::start(1).unwrap();
        let failed = disk.run(|| -> u32 { panic!("a test's own panic") });
        assert!(failed.await.is_err());
        assert_eq!(disk.run(|| 7).await.unwrap(), 7);
    }

    #[test]
    fn work_that_nobody_waits_for_is_done_before_the_end() {
        let disk = Disk::start(1).unwrap();
        let (done, is_done) = mpsc::channel();
        for number in 0..100 {
            let done = done.clone();
            drop(disk.run(move || done.send(number)));
        }
        disk.finish(Duration::from_secs(60));
        assert_eq!(is_done.try_iter().count(), 100);
    }

    #[test]
    fn work_that_hangs_does_not_hold_up_the_end() {
        let disk = Disk::start(1).unwrap();
        let (let_go, held) = mpsc::channel::<()>();
        drop(disk.run(move || held.recv()));
        disk.finish(Duration::from_millis(1));
        drop(let_go);
        disk.finish(Duration::from_secs(60));
        assert_eq!(disk.0.lock().busy, 0);
    }
}
