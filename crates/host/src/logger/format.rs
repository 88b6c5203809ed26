//! The three shapes of a log line.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

use mail::Timestamp;
use policy::log::Severity;
use syslog::{Facility, LogFormat};

use super::Datagram;

/// One line before it has its final shape.
pub(super) struct Line<'a> {
    pub(super) at: Timestamp,
    pub(super) offset: i32,
    pub(super) name: &'a str,
    pub(super) service: &'a str,
    pub(super) pid: u32,
    pub(super) severity: Severity,
    pub(super) text: &'a str,
}

/// Longest text of a line, in bytes; the rest of a datagram is room for date and name.
const LONGEST_TEXT: usize = 7_800;

impl Line<'_> {
    /// `relayd/smtp[123]: text`.
    pub(super) fn bare(&self) -> String {
        format!(
            "{}/{}[{}]: {}",
            self.name,
            self.service,
            self.pid,
            self.safe_text()
        )
    }

    /// `Nov 23 18:24:12 host relayd/smtp[123]: text` and a line end: what rsyslog writes.
    pub(super) fn dated(&self, hostname: &str) -> String {
        format!("{} {hostname} {}\n", self.date(), self.bare())
    }

    /// `Nov 23 18:24:12`, local time, the day padded with a space (RFC 3164 section 4.1.2).
    fn date(&self) -> String {
        let full = mail::date::asctime(self.at, self.offset);
        full.get(4..19).unwrap_or(&full).to_owned()
    }

    /// The last guard against a line that looks like two: `policy::log` has escaped what came from
    /// outside already.
    fn safe_text(&self) -> Cow<'_, str> {
        let text = &self.text[..self.text.floor_char_boundary(LONGEST_TEXT)];
        if text.chars().any(char::is_control) {
            return text.replace(char::is_control, "?").into();
        }
        text.into()
    }
}

/// The line format of `/dev/log`: priority, date, name, text.
pub(super) struct SyslogFormat;

impl LogFormat<&Line<'_>> for SyslogFormat {
    fn format<W: Write>(
        &self,
        to: &mut W,
        severity: syslog::Severity,
        line: &Line<'_>,
    ) -> syslog::Result<()> {
        let priority = Facility::LOG_MAIL as u32 | severity as u32;
        write!(to, "<{priority}>{} {}", line.date(), line.bare()).map_err(syslog::Error::Write)
    }
}

/// Sends `line` with the severity it has.
pub(super) fn send(
    logger: &mut syslog::Logger<Datagram, SyslogFormat>,
    line: &Line<'_>,
) -> io::Result<()> {
    let sent = match line.severity {
        Severity::Info => logger.info(line),
        Severity::Warning => logger.warning(line),
        Severity::Error => logger.err(line),
        Severity::Critical => logger.crit(line),
    };
    sent.map_err(|error| io::Error::other(error.to_string()))
}

impl fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bare())
    }
}
