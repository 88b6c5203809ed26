//! Log lines on their way to another program, written by a thread that waits for it when it is
//! behind, so that no line of a message's story is missing (I11); mail waits for nobody.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use host::logger::Logger;
use mail::Timestamp;
use policy::log::{Line, Record};

/// How many bytes of lines may wait to be written; more are lost, and counted.
const MOST_WAITING: usize = 4 * 1024 * 1024;
/// How long lines are gathered after some were written. The first after a pause goes out at once.
const GATHER: Duration = Duration::from_millis(5);

/// The way to a logger. Dropping it ends the thread once all lines are written.
pub(crate) struct Post(Arc<Desk>);

#[derive(Default)]
struct Desk {
    waiting: Mutex<Waiting>,
    /// There is something to be written, or no more will come.
    more: Condvar,
    /// All is written.
    done: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<(Timestamp, Record)>,
    bytes: usize,
    /// Lines that found no room.
    lost: u64,
    /// The thread has nothing to do.
    asleep: bool,
    closed: bool,
}

impl Post {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has none left.
    pub(super) fn start(logger: Logger) -> io::Result<Self> {
        let post = Self(Arc::default());
        let desk = Arc::clone(&post.0);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || desk.serve(logger))?;
        Ok(post)
    }

    /// Has a line written that was made at `at`.
    pub(super) fn send(&self, at: Timestamp, line: Record) {
        let mut waiting = self.0.lock();
        let length = line.text.len();
        if waiting.bytes + length > MOST_WAITING {
            waiting.lost = waiting.lost.saturating_add(1);
            return;
        }
        waiting.bytes += length;
        waiting.lines.push((at, line));
        let wake = waiting.asleep;
        drop(waiting);
        if wake {
            self.0.more.notify_one();
        }
    }

    /// Waits until all lines are written, but no longer than `within`.
    pub(super) fn finish(&self, within: Duration) {
        let unwritten = |waiting: &mut Waiting| !waiting.asleep || !waiting.lines.is_empty();
        let desk = &self.0;
        let _ = desk.done.wait_timeout_while(desk.lock(), within, unwritten);
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.more.notify_all();
    }
}

impl Desk {
    /// The thread's life.
    fn serve(&self, mut logger: Logger) {
        let mut missing = 0;
        while let Some((lines, lost)) = self.next() {
            for (at, line) in lines {
                logger.add(at, &line);
            }
            logger.flush();
            missing += lost + logger.lost();
            if missing > 0 {
                logger.add(host::clock::wall(), &gap(missing));
                logger.flush();
                missing = if logger.lost() > 0 { missing } else { 0 };
            }
            thread::sleep(GATHER);
        }
    }

    /// Waits for something to be written; `None` at the end. Tells how many lines found no room.
    fn next(&self) -> Option<(Vec<(Timestamp, Record)>, u64)> {
        let mut waiting = self.lock();
        while waiting.lines.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting.asleep = true;
            self.done.notify_all();
            waiting = self
                .more
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
            waiting.asleep = false;
        }
        waiting.bytes = 0;
        let lost = std::mem::take(&mut waiting.lost);
        Some((std::mem::take(&mut waiting.lines), lost))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is written where lines are missing.
fn gap(missing: u64) -> Record {
    Line::Warning {
        service: "relayd",
        text: &format!("{missing} lines are missing here: the logger did not take them"),
    }
    .record()
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::settings::{Log, LogTarget};

    #[test]
    fn lines_are_written_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mail.log");
        let settings = Log {
            name: "relayd".to_owned(),
            to: LogTarget::File(file.clone()),
        };
        let post = Post::start(Logger::open(&settings).unwrap()).unwrap();
        for missing in 0..500 {
            post.send(host::clock::wall(), gap(missing));
        }
        post.finish(Duration::from_secs(60));
        let text = std::fs::read_to_string(file).unwrap();
        assert_eq!(text.lines().count(), 500);
        let mut numbered = text.lines().zip(0..);
        assert!(numbered.all(|(line, number)| line.contains(&format!(" {number} lines"))));
    }
}
