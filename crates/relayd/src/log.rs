//! The daemon's one log: `policy::log` words the lines, `host::logger` writes them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use host::logger::Logger;
use policy::log::Line;
use policy::settings;

/// The open log. Writing never fails and never waits for more than a local write.
pub(crate) struct Log(Mutex<Logger>);

impl Log {
    /// Opens what `[log]` names.
    ///
    /// # Errors
    /// The log file cannot be opened.
    pub(crate) fn open(settings: &settings::Log) -> std::io::Result<Self> {
        Logger::open(settings).map(|logger| Self(Mutex::new(logger)))
    }

    /// Opens what new settings name, for [`Log::replace`]. A file is opened anew, so that one that
    /// was rotated away is let go.
    ///
    /// # Errors
    /// The log file cannot be opened.
    pub(crate) fn prepare(settings: &settings::Log) -> std::io::Result<Logger> {
        Logger::open(settings)
    }

    /// From now on lines go to another log.
    pub(crate) fn replace(&self, logger: Logger) {
        *self.lock() = logger;
    }

    /// Writes one line.
    pub(crate) fn write(&self, line: &Line<'_>) {
        let record = line.record();
        self.lock()
            .write(record.service, record.severity, &record.text);
    }

    /// Writes a warning in relayd's own name.
    pub(crate) fn warn(&self, text: &str) {
        self.write(&Line::Warning {
            service: "relayd",
            text,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Logger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
