//! Where log lines go: the system's logger, standard error, or a file.
//!
//! `policy::log` words the lines; here they get their date, program name and process id. Logging
//! never fails a delivery, and does not wait unless told to: a line that cannot be had out is
//! counted, and [`Logger::lost`] tells how many there were.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mail::Timestamp;
use policy::log::{Record, Severity};
use policy::settings::{Log, LogTarget};

use crate::{clock, identity};

mod datagram;
mod format;

use datagram::Datagram;
use format::{Line, SyslogFormat};

/// The socket of the system's logger.
const SYSLOG_SOCKET: &str = "/dev/log";

/// Writes log lines to where the settings say.
pub struct Logger {
    name: String,
    pid: u32,
    sink: Sink,
    /// Lines for a file or standard error, until the next [`Logger::flush`].
    unwritten: String,
    lines: u64,
    lost: u64,
}

enum Sink {
    Syslog(syslog::Logger<Datagram, SyslogFormat>),
    Stderr,
    File {
        path: PathBuf,
        file: File,
        hostname: String,
    },
}

impl Logger {
    /// Opens what `[log]` names. The system's logger need not be running yet: it is looked for anew
    /// with each line until it is there.
    ///
    /// # Errors
    /// The log file could not be opened for appending, or made.
    pub fn open(settings: &Log) -> io::Result<Self> {
        let sink = match &settings.to {
            LogTarget::Syslog => Sink::syslog(Path::new(SYSLOG_SOCKET)),
            LogTarget::Stderr => Sink::Stderr,
            LogTarget::File(path) => Sink::File {
                path: path.clone(),
                file: open_for_append(path)?,
                hostname: short_hostname(),
            },
        };
        Ok(Self {
            name: settings.name.clone(),
            pid: std::process::id(),
            sink,
            unwritten: String::new(),
            lines: 0,
            lost: 0,
        })
    }

    /// The same, but each line waits for a system's logger that does not keep up, so long at most.
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        if let Sink::Syslog(logger) = &mut self.sink {
            logger.backend.wait_up_to(patience);
        }
        self
    }

    /// Writes one line for a service such as `smtp`, as `relayd/smtp[PID]: TEXT`. Control
    /// characters in `text` are shown as `?`, and lines end at 8,000 bytes.
    pub fn write(&mut self, service: &str, severity: Severity, text: &str) {
        self.enter(clock::wall(), service, severity, text);
        self.flush();
    }

    /// As [`Logger::write`] for a line that was made at `at`; it may wait for [`Logger::flush`].
    pub fn add(&mut self, at: Timestamp, record: &Record) {
        self.enter(at, record.service, record.severity, &record.text);
    }

    fn enter(&mut self, at: Timestamp, service: &str, severity: Severity, text: &str) {
        let offset = clock::utc_offset_minutes(at);
        let line = Line {
            at,
            offset,
            name: &self.name,
            service,
            pid: self.pid,
            severity,
            text,
        };
        match &mut self.sink {
            Sink::Syslog(logger) => {
                if format::send(logger, &line).is_err() {
                    self.lost = self.lost.saturating_add(1);
                }
                return;
            }
            Sink::Stderr => self.unwritten += &format!("{}\n", line.bare()),
            Sink::File { hostname, .. } => self.unwritten += &line.dated(hostname),
        }
        self.lines += 1;
    }

    /// Writes what [`Logger::add`] has gathered, all at once.
    pub fn flush(&mut self) {
        let text = self.unwritten.as_bytes();
        let written = match &mut self.sink {
            Sink::Syslog(_) => Ok(()),
            Sink::Stderr => io::stderr().write_all(text),
            Sink::File { file, .. } => file.write_all(text),
        };
        if written.is_err() {
            self.lost = self.lost.saturating_add(self.lines);
        }
        self.lines = 0;
        self.unwritten.clear();
    }

    /// Opens the log file again by its name, after a program such as logrotate has moved it away.
    /// Nothing to do for other targets.
    ///
    /// # Errors
    /// The new file could not be opened; the old one stays in use.
    pub fn reopen(&mut self) -> io::Result<()> {
        if let Sink::File { path, file, .. } = &mut self.sink {
            *file = open_for_append(path)?;
        }
        Ok(())
    }

    /// How many lines could not be written since this was last asked.
    pub fn lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

impl Sink {
    fn syslog(socket: &Path) -> Self {
        Self::Syslog(syslog::Logger::new(Datagram::new(socket), SyslogFormat))
    }
}

/// Writes one line to the system's logger from a program that is about to end, such as
/// `relayd/sendmail[PID]: fatal: …`. If it does not get there, it does not.
pub fn last_words(service: &str, severity: Severity, text: &str) {
    let settings = Log {
        name: "relayd".to_owned(),
        to: LogTarget::Syslog,
    };
    if let Ok(mut logger) = Logger::open(&settings) {
        logger.write(service, severity, text);
    }
}

fn open_for_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

/// The host's name up to the first dot, as rsyslog writes it into its files.
fn short_hostname() -> String {
    let name = identity::hostname();
    name.split('.').next().unwrap_or(&name).to_owned()
}

#[cfg(test)]
mod tests;
