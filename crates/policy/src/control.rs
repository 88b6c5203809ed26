//! The language of the control socket: one request line, and the answer to it.
//!
//! A client sends one line and reads until the socket closes. The first line of the answer is
//! `OK` or `ERR class text`. After an `OK` to `LIST`, one line for each message follows, in the
//! form of [`crate::listing::json_line`]; after an `OK` to `STATUS` or `FACTS`, lines of `name: value`. All
//! end with `END count`, so that an answer that was cut off is noticed. Lines end in LF.

mod selection;

use crate::log::printable;
use std::fmt;

pub use selection::Selection;

/// The longest request, in bytes, without its line end.
pub const LONGEST_REQUEST: usize = 512;

/// The longest first or last line of an answer, in characters.
pub const LONGEST_ANSWER: usize = 1000;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `LIST`: the whole queue.
    List,
    /// `FLUSH`: try everything now.
    Flush,
    /// `FLUSH-ID id`: try one message now. The id has the form of one, whether or not there is
    /// such a message: [`is_queue_name`].
    FlushId(String),
    /// `FLUSH-SITE site`: try the messages for one domain now: [`is_site`].
    FlushSite(String),
    /// `HOLD which`: try these messages no more until they are released.
    Hold(Selection),
    /// `RELEASE which`: the end of that.
    Release(Selection),
    /// `RELOAD`: read the settings again.
    Reload,
    /// `STATUS`: how relayd is doing.
    Status,
    /// `FACTS`: the same for programs, as [`crate::alarm::Facts::lines`] has it.
    Facts,
}

/// A request line is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// Longer than [`LONGEST_REQUEST`].
    TooLong,
    /// Not a request, or its argument is missing, superfluous or malformed.
    Syntax,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "request too long",
            Self::Syntax => "request not understood",
        })
    }
}

impl std::error::Error for RequestError {}

impl Request {
    /// Reads a request line, without its LF.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn parse(line: &[u8]) -> Result<Self, RequestError> {
        if line.len() > LONGEST_REQUEST {
            return Err(RequestError::TooLong);
        }
        let line = std::str::from_utf8(line).map_err(|_| RequestError::Syntax)?;
        let (word, argument) = match line.split_once(' ') {
            Some((word, argument)) => (word, Some(argument)),
            None => (line, None),
        };
        match (word, argument) {
            ("LIST", None) => Ok(Self::List),
            ("FLUSH", None) => Ok(Self::Flush),
            ("FLUSH-ID", Some(id)) if is_queue_name(id) => Ok(Self::FlushId(id.to_owned())),
            ("FLUSH-SITE", Some(site)) if is_site(site) => Ok(Self::FlushSite(site.to_owned())),
            ("HOLD", Some(which)) => selected(which).map(Self::Hold),
            ("RELEASE", Some(which)) => selected(which).map(Self::Release),
            ("RELOAD", None) => Ok(Self::Reload),
            ("STATUS", None) => Ok(Self::Status),
            ("FACTS", None) => Ok(Self::Facts),
            _ => Err(RequestError::Syntax),
        }
    }
}

impl fmt::Display for Request {
    /// The request line, without its LF.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => f.write_str("LIST"),
            Self::Flush => f.write_str("FLUSH"),
            Self::FlushId(id) => write!(f, "FLUSH-ID {id}"),
            Self::FlushSite(site) => write!(f, "FLUSH-SITE {site}"),
            Self::Hold(which) => write!(f, "HOLD {which}"),
            Self::Release(which) => write!(f, "RELEASE {which}"),
            Self::Reload => f.write_str("RELOAD"),
            Self::Status => f.write_str("STATUS"),
            Self::Facts => f.write_str("FACTS"),
        }
    }
}

fn selected(text: &str) -> Result<Selection, RequestError> {
    Selection::parse(text).ok_or(RequestError::Syntax)
}

/// Whether a text could be the name of a queued message, by the rule of Postfix
/// (`mail_queue_id_ok`): letters, digits and `_`, at most 255 of them.
#[must_use]
pub fn is_queue_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a text could be a destination: a domain name, or an address in brackets.
#[must_use]
pub fn is_site(text: &str) -> bool {
    if let Some(literal) = text.strip_prefix('[') {
        let literal = literal
            .strip_suffix(']')
            .map(|inside| inside.strip_prefix("IPv6:").unwrap_or(inside));
        return literal.is_some_and(|inside| inside.parse::<std::net::IpAddr>().is_ok());
    }
    let is_label = |label: &str| {
        let fine = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&label.len()) && fine && !label.starts_with('-') && !label.ends_with('-')
    };
    (1..=255).contains(&text.len()) && text.split('.').all(is_label)
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The caller may not do this.
    Denied,
    /// The request was not understood.
    Syntax,
    /// It was tried and failed.
    Failed,
}

impl Class {
    const ALL: [Self; 3] = [Self::Denied, Self::Syntax, Self::Failed];

    const fn word(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Syntax => "syntax",
            Self::Failed => "failed",
        }
    }
}

/// The first line of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `OK`.
    Ok,
    /// `ERR class text`.
    Err {
        /// What kind of failure.
        class: Class,
        /// What to tell the user; one line.
        text: String,
    },
}

/// A line of an answer is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerError;

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("answer not understood")
    }
}

impl std::error::Error for AnswerError {}

impl Answer {
    /// Reads the first line of an answer, without its LF.
    ///
    /// # Errors
    /// If it is neither `OK` nor `ERR` with a known class.
    pub fn parse(line: &str) -> Result<Self, AnswerError> {
        if line == "OK" {
            return Ok(Self::Ok);
        }
        let rest = line.strip_prefix("ERR ").ok_or(AnswerError)?;
        let (word, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let class = Class::ALL
            .into_iter()
            .find(|class| class.word() == word)
            .ok_or(AnswerError)?;
        Ok(Self::Err {
            class,
            text: printable::shortened(text, LONGEST_ANSWER),
        })
    }
}

impl fmt::Display for Answer {
    /// The line, without its LF. Whatever the text holds, it stays one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("OK"),
            Self::Err { class, text } => {
                write!(
                    f,
                    "ERR {} {}",
                    class.word(),
                    printable::shortened(text, LONGEST_ANSWER)
                )
            }
        }
    }
}

/// The last line of a longer answer: `END count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// How many lines stood between the first line and this one.
    pub count: u64,
}

impl End {
    /// Reads a line, without its LF; `None` if it is not the last one.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let digits = line.strip_prefix("END ")?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        plain
            .then(|| digits.parse().ok())
            .flatten()
            .map(|count| Self { count })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "END {}", self.count)
    }
}

/// One line of the answer to `STATUS`: `name: value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusLine {
    /// Lower-case words, such as `queued messages`.
    pub name: String,
    /// One line of text.
    pub value: String,
}

impl StatusLine {
    /// Reads a line, without its LF.
    ///
    /// # Errors
    /// If there is no colon and space, or no name.
    pub fn parse(line: &str) -> Result<Self, AnswerError> {
        let (name, value) = line
            .split_once(": ")
            .filter(|(name, _)| !name.is_empty())
            .ok_or(AnswerError)?;
        Ok(Self {
            name: printable::text(name),
            value: printable::shortened(value, LONGEST_ANSWER),
        })
    }
}

impl fmt::Display for StatusLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            printable::text(&self.name),
            printable::shortened(&self.value, LONGEST_ANSWER)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_read_as_they_print() {
        let requests = [
            Request::List,
            Request::Flush,
            Request::FlushId("76CAF9E03A2A".to_owned()),
            Request::FlushSite("example.com".to_owned()),
            Request::FlushSite("[192.0.2.1]".to_owned()),
            Request::FlushSite("[IPv6:2001:db8::1]".to_owned()),
            Request::Hold(Selection::All),
            Request::Hold(Selection::Id("76CAF9E03A2A".to_owned())),
            Request::Release(Selection::Sender("<>".to_owned())),
            Request::Release(Selection::Recipient("a b@x.example".to_owned())),
            Request::Hold(Selection::Origin("uid 33".to_owned())),
            Request::Reload,
            Request::Status,
            Request::Facts,
        ];
        for request in requests {
            assert_eq!(Request::parse(request.to_string().as_bytes()), Ok(request));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long = [b'A'; LONGEST_REQUEST + 1];
        assert_eq!(Request::parse(&long), Err(RequestError::TooLong));
        let bad: [&[u8]; 17] = [
            b"HOLD",
            b"HOLD ALL x",
            b"HOLD ID ../x",
            b"RELEASE SENDER ",
            b"",
            b"list",
            b"LIST ",
            b"LIST x",
            b"LIST\r",
            b"FLUSH-ID",
            b"FLUSH-ID ",
            b"FLUSH-ID ../x",
            b"FLUSH-SITE bad_host!",
            b"FLUSH-SITE a..b",
            b"FLUSH-SITE [x]",
            b" LIST",
            b"\xff",
        ];
        for line in bad {
            assert_eq!(
                Request::parse(line),
                Err(RequestError::Syntax),
                "{}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn answers_read_as_they_print_and_stay_one_line() {
        for class in Class::ALL {
            let answer = Answer::Err {
                class,
                text: "why not".to_owned(),
            };
            assert_eq!(Answer::parse(&answer.to_string()), Ok(answer));
        }
        assert_eq!(Answer::parse("OK"), Ok(Answer::Ok));
        let forged = Answer::Err {
            class: Class::Failed,
            text: "x\nOK".to_owned(),
        };
        assert_eq!(forged.to_string(), "ERR failed x?OK");
        for bad in ["", "ok", "OK ", "ERR", "ERR other x", "END 1"] {
            assert_eq!(Answer::parse(bad), Err(AnswerError), "{bad}");
        }
    }

    #[test]
    fn ends_and_status_lines() {
        assert_eq!(End::parse("END 12"), Some(End { count: 12 }));
        assert_eq!(End { count: 12 }.to_string(), "END 12");
        for other in [
            "END",
            "END ",
            "END x",
            "END -1",
            "END +1",
            "{\"queue_name\": \"END 1\"}",
        ] {
            assert_eq!(End::parse(other), None, "{other}");
        }
        let line = StatusLine {
            name: "gateway main".to_owned(),
            value: "up: yes".to_owned(),
        };
        assert_eq!(StatusLine::parse(&line.to_string()), Ok(line));
        assert_eq!(StatusLine::parse("none"), Err(AnswerError));
    }

    proptest! {
        #[test]
        fn reading_any_bytes_is_safe_and_exact(
            line in proptest::collection::vec(any::<u8>(), 0..600)
        ) {
            if let Ok(request) = Request::parse(&line) {
                prop_assert_eq!(request.to_string().into_bytes(), line);
            }
        }
    }
}
