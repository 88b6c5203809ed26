//! How far a session came and why it was broken off, in the words of Postfix's log.

use super::Server;
use super::counts::name;

/// What the session came to before its client said anything.
const CONNECT: &str = "CONNECT";
/// A command that is not known.
const UNKNOWN: &str = "UNKNOWN";
/// Content was read to its end.
const MESSAGE: &str = "END-OF-MESSAGE";

/// Of what a client that does not speak SMTP sent, so many bytes are kept.
const LONGEST_FOREIGN: usize = 200;

/// Why the server broke a session off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Too many of the client's commands were refused.
    TooManyErrors,
    /// The client speaks another protocol, and this is how it began.
    NonSmtp(Vec<u8>),
}

/// How far a session came.
pub(super) struct Course {
    after: String,
    /// Bytes of the content that is being read.
    content: Option<u64>,
    ending: Option<Ending>,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            after: CONNECT.to_owned(),
            content: None,
            ending: None,
        }
    }
}

impl Course {
    /// A command line came, with this verb.
    pub(super) fn command(&mut self, verb: &str) {
        self.after = name(verb).map_or_else(|| UNKNOWN.to_owned(), str::to_ascii_uppercase);
        self.content = None;
    }

    /// So many bytes of content came.
    pub(super) fn content(&mut self, count: usize) {
        *self.content.get_or_insert(0) += count as u64;
    }

    /// Content was read to its end.
    pub(super) fn message(&mut self) {
        MESSAGE.clone_into(&mut self.after);
        self.content = None;
    }

    /// The session is broken off; the first reason counts.
    pub(super) fn end(&mut self, why: Ending) {
        self.ending.get_or_insert(why);
    }

    /// The session is broken off at these bytes of another protocol.
    pub(super) fn end_foreign(&mut self, begin: &[u8]) {
        let line = begin.split(|byte| matches!(byte, b'\r' | b'\n')).next();
        let line = line.unwrap_or_default();
        let kept = line[..line.len().min(LONGEST_FOREIGN)].to_vec();
        self.end(Ending::NonSmtp(kept));
    }
}

impl Server {
    /// What the client did last, as Postfix's log names it: `CONNECT`, a command, `UNKNOWN`,
    /// `DATA (123 bytes)` within content, or `END-OF-MESSAGE` behind it.
    #[must_use]
    pub fn after(&self) -> String {
        let Course { after, content, .. } = &self.course;
        match content {
            None => after.clone(),
            Some(count) => format!("{after} ({count} bytes)"),
        }
    }

    /// Why the server broke the session off, if it did so for one of these reasons.
    #[must_use]
    pub const fn ending(&self) -> Option<&Ending> {
        self.course.ending.as_ref()
    }

    /// Whether a client that is gone leaves something unfinished. After QUIT or a message it does
    /// not: many never say QUIT.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        !matches!(self.state, super::State::Closing) && self.course.after != MESSAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_last_is_named_as_in_postfix() {
        let mut course = Course::default();
        assert_eq!(course.after, "CONNECT");
        for (verb, after) in [("ehlo", "EHLO"), ("Mail", "MAIL"), ("foo", "UNKNOWN")] {
            course.command(verb);
            assert_eq!(course.after, after);
        }
    }

    #[test]
    fn the_first_reason_to_break_off_counts() {
        let mut course = Course::default();
        course.end_foreign(b"GET / HTTP/1.1\r\nHost: x\r\n");
        course.end(Ending::TooManyErrors);
        assert_eq!(
            course.ending,
            Some(Ending::NonSmtp(b"GET / HTTP/1.1".to_vec()))
        );
    }
}
