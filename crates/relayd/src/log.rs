//! The daemon's one log: `policy::log` words the lines, `host::logger` writes them.

mod post;

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use host::logger::Logger;
use policy::log::Line;
use policy::settings::{self, LogTarget};

use post::Post;

/// How long one line may wait for a logger that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// The open log. Writing never fails and never waits for more than a local write.
pub(crate) struct Log(Mutex<Way>);

/// How lines are written.
pub(crate) enum Way {
    /// To a file or standard error, which take them at once.
    Direct(Logger),
    /// To the system's logger, which can be behind.
    Posted(Post),
}

impl Log {
    /// Opens what `[log]` names.
    ///
    /// # Errors
    /// The log file cannot be opened, or there is no thread to be had.
    pub(crate) fn open(settings: &settings::Log) -> io::Result<Self> {
        Self::prepare(settings).map(|way| Self(Mutex::new(way)))
    }

    /// Opens what new settings name, for [`Log::replace`]. A file is opened anew, so that one that
    /// was rotated away is let go.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub(crate) fn prepare(settings: &settings::Log) -> io::Result<Way> {
        let logger = Logger::open(settings)?;
        Ok(match settings.to {
            LogTarget::Syslog => Way::Posted(Post::start(logger.patient(PATIENCE))?),
            LogTarget::Stderr | LogTarget::File(_) => Way::Direct(logger),
        })
    }

    /// From now on lines go to another log.
    pub(crate) fn replace(&self, way: Way) {
        *self.lock() = way;
    }

    /// Writes one line.
    pub(crate) fn write(&self, line: &Line<'_>) {
        let (at, record) = (host::clock::wall(), line.record());
        match &mut *self.lock() {
            Way::Direct(logger) => {
                logger.add(at, &record);
                logger.flush();
            }
            Way::Posted(post) => post.send(at, record),
        }
    }

    /// Writes a warning in relayd's own name.
    pub(crate) fn warn(&self, text: &str) {
        self.write(&Line::Warning {
            service: "relayd",
            text,
        });
    }

    /// Waits until all lines are written, but no longer than `within`.
    pub(crate) fn finish(&self, within: Duration) {
        if let Way::Posted(post) = &*self.lock() {
            post.finish(within);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Way> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
