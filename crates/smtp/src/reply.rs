//! SMTP replies (RFC 5321 section 4.2, RFC 2034): the value, reading it off the wire generously but
//! within bounds, and writing it.
//!
//! Text is made printable when it is read: what the peer says goes into logs, listings and delivery
//! reports, and must not be able to add a line or move a cursor there.

use std::fmt;

use mail::StatusCode;

use crate::line::LineBuffer;

/// Longest line of a reply that is read, in bytes, without its line end.
pub const MAX_LINE: usize = 4096;
/// Most lines of one reply that are read.
pub const MAX_LINES: usize = 128;
/// Longest line of a reply that is written, in bytes with its line end (RFC 5321 section 4.5.3.1.5).
const MAX_WRITTEN_LINE: usize = 512;

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three-digit code, 100 to 599.
    pub code: u16,
    /// The enhanced status code, where the reply carried one. Its class is the code's.
    pub status: Option<StatusCode>,
    /// The text lines without code and status; printable, every control character or byte that is
    /// not UTF-8 shown as `?` as Postfix does. At least one, perhaps empty.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply with one line of text.
    #[must_use]
    pub fn new(code: u16, status: Option<StatusCode>, text: &str) -> Self {
        Self {
            code,
            status,
            lines: vec![printable(text.as_bytes())],
        }
    }

    /// The text, its lines joined by one space, as Postfix shows it.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// 2xx: it is done.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 3xx: go on.
    #[must_use]
    pub const fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }

    /// 4xx: not now.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5xx: no.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The bytes that say it: every line ends in CRLF, is printable, and has at most 512 bytes.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let status = self
            .status
            .map(|status| format!("{status} "))
            .unwrap_or_default();
        let mut wire = Vec::new();
        let last = self.lines.len().saturating_sub(1);
        for (number, line) in self.lines.iter().enumerate() {
            let more = if number == last { ' ' } else { '-' };
            let mut line = format!(
                "{:03}{more}{status}{}",
                self.code,
                printable(line.as_bytes())
            );
            line.truncate(line.floor_char_boundary(MAX_WRITTEN_LINE - 2));
            wire.extend_from_slice(line.as_bytes());
            wire.extend_from_slice(b"\r\n");
        }
        wire
    }
}

impl fmt::Display for Reply {
    /// Code, status and text in one line: `550 5.1.1 no such user`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        let text = self.text();
        if text.is_empty() {
            Ok(())
        } else {
            write!(f, " {text}")
        }
    }
}

/// Why what the peer sent is not a reply. Reading cannot go on after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// A line longer than [`MAX_LINE`].
    LineTooLong,
    /// More lines than [`MAX_LINES`].
    TooManyLines,
    /// The lines of one reply carry codes of different classes.
    CodesDiffer,
    /// Not three digits and a separator; the start of the line, printable.
    Malformed(String),
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong => write!(f, "a reply line is longer than {MAX_LINE} bytes"),
            Self::TooManyLines => write!(f, "a reply has more than {MAX_LINES} lines"),
            Self::CodesDiffer => f.write_str("the lines of one reply carry different codes"),
            Self::Malformed(line) => write!(f, "not an SMTP reply: {line}"),
        }
    }
}

impl std::error::Error for ReplyError {}

/// Reads replies from bytes that come in any pieces.
///
/// Real servers are met half-way: a bare LF ends a line, text may be missing or in any encoding, a
/// code may be one that no RFC knows. What is not three digits and a separator is an error.
#[derive(Default)]
pub struct ReplyParser {
    input: LineBuffer,
    /// Lines of the reply that is not complete yet, with their codes.
    lines: Vec<(u16, Vec<u8>)>,
}

impl ReplyParser {
    /// A parser that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes from the peer. The parser holds what it is given: ask for replies between reads.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// The next reply; `None` if it is not complete yet.
    ///
    /// # Errors
    /// What was sent is not a reply, or exceeds the bounds. The session is of no use then.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        while let Some(line) = self.input.take_line() {
            let line = parse_line(line)?;
            if self.lines.len() >= MAX_LINES {
                return Err(ReplyError::TooManyLines);
            }
            self.lines.push((line.code, line.text));
            if line.last {
                return assemble(std::mem::take(&mut self.lines)).map(Some);
            }
        }
        if self.input.pending().len() > MAX_LINE + 1 {
            return Err(ReplyError::LineTooLong);
        }
        Ok(None)
    }

    /// Whether nothing is held: no reply, and no part of one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.input.pending().is_empty()
    }

    /// Forgets everything that is held.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

struct Line {
    code: u16,
    last: bool,
    text: Vec<u8>,
}

fn parse_line(line: &[u8]) -> Result<Line, ReplyError> {
    let line = line.trim_ascii_end();
    if line.len() > MAX_LINE {
        return Err(ReplyError::LineTooLong);
    }
    let malformed = || ReplyError::Malformed(printable(&line[..line.len().min(80)]));
    let (digits, rest) = line.split_at_checked(3).ok_or_else(malformed)?;
    let separator = rest.first().copied().unwrap_or(b' ');
    let known = matches!(separator, b' ' | b'-' | b'\t');
    if !known || !digits.iter().all(u8::is_ascii_digit) || !(b'1'..=b'5').contains(&digits[0]) {
        return Err(malformed());
    }
    let code = digits
        .iter()
        .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    let text = rest.get(1..).unwrap_or_default().to_vec();
    Ok(Line {
        code,
        last: separator != b'-',
        text,
    })
}

/// The last line's code counts, as in Postfix, but only within one class: `250-` then `550` is
/// neither a success nor a refusal that can be trusted.
fn assemble(lines: Vec<(u16, Vec<u8>)>) -> Result<Reply, ReplyError> {
    let code = lines.last().map_or(0, |(code, _)| *code);
    if lines.iter().any(|(other, _)| other / 100 != code / 100) {
        return Err(ReplyError::CodesDiffer);
    }
    let mut reply = Reply {
        code,
        status: None,
        lines: Vec::with_capacity(lines.len()),
    };
    for (_, text) in lines {
        let text = printable(&text);
        let split = StatusCode::split_from(&text).filter(|_| matches!(code / 100, 2 | 4 | 5));
        let (status, text) = match split {
            Some((status, rest)) => (Some(status), rest.to_owned()),
            None => (None, text),
        };
        reply.status = reply.status.or(status);
        reply.lines.push(text);
    }
    // The code is what the protocol acts on, so a status of another class is corrected to it.
    let class = u8::try_from(code / 100).unwrap_or(5);
    reply.status = reply.status.map(|status| status.with_class(class));
    Ok(reply)
}

/// `bytes` as text without control characters; what is not UTF-8 or not printable becomes `?`.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.extend(
            chunk
                .valid()
                .chars()
                .map(|c| if is_plain(c) { c } else { '?' }),
        );
        if !chunk.invalid().is_empty() {
            text.push('?');
        }
    }
    text
}

/// Neither a control character (C0, DEL, C1) nor one that ends a line or turns the direction of
/// writing, which would let a reply disguise itself in a terminal.
fn is_plain(c: char) -> bool {
    let disguise = matches!(c, '\u{2028}' | '\u{2029}' | '\u{200E}' | '\u{200F}'
        | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}');
    !c.is_control() && !disguise
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let mut parser = ReplyParser::new();
        parser.push(bytes);
        parser.next_reply()
    }

    fn shown(bytes: &[u8]) -> String {
        read(bytes).unwrap().unwrap().to_string()
    }

    #[test]
    fn reads_replies_as_real_servers_write_them() {
        let cases: [(&[u8], &str); 12] = [
            (b"250 2.1.0 Ok\r\n", "250 2.1.0 Ok"),
            (b"250\r\n", "250"),
            (b"250 \n", "250"),
            (b"569 x\n", "569 x"),
            (b"199 x\n", "199 x"),
            (
                b"550-5.1.1 no such\r\n550 5.1.1 user\r\n",
                "550 5.1.1 no such user",
            ),
            (b"550-5.1.1 no\r\n550 user\r\n", "550 5.1.1 no user"),
            (b"550 5.7.2\r\n", "550 5.7.2"),
            (b"550 2.0.0 ok\r\n", "550 5.0.0 ok"),
            (
                b"550 5.99999999999999999999.1 x\r\n",
                "550 5.99999999999999999999.1 x",
            ),
            (b"354 2.0.0 go\r\n", "354 2.0.0 go"),
            (
                b"550 \x1b[2J\xE9\xC3\xA9\xC2\x85\0\r\r\n",
                "550 ?[2J?\u{e9}??",
            ),
        ];
        for (bytes, wanted) in cases {
            assert_eq!(shown(bytes), wanted);
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bytes in [
            &b"25\r\n"[..],
            b"\r\n",
            b"2500 x\r\n",
            b"6xx\r\n",
            b"650 x\r\n",
            b"250x\n",
        ] {
            assert!(
                matches!(read(bytes), Err(ReplyError::Malformed(_))),
                "{bytes:?}"
            );
        }
        assert_eq!(read(b"250-a\r\n550 b\r\n"), Err(ReplyError::CodesDiffer));
        assert_eq!(read(&[b'2'; MAX_LINE + 2]), Err(ReplyError::LineTooLong));
        let many = "250-x\r\n".repeat(MAX_LINES + 1);
        assert_eq!(read(many.as_bytes()), Err(ReplyError::TooManyLines));
        assert_eq!(read(b"250 not complete"), Ok(None));
    }

    #[test]
    fn writes_lines_that_cannot_be_broken_out_of() {
        let status = Some(StatusCode::new(5, 1, 1));
        let mut reply = Reply::new(550, status, "no\r\n250 ok");
        reply.lines.push(String::from("\u{e4}").repeat(400));
        let wire = reply.to_wire();
        assert!(wire.starts_with(b"550-5.1.1 no??250 ok\r\n550 5.1.1 \xC3\xA4"));
        assert!(wire.split(|&b| b == b'\n').all(|line| line.len() < 512));
        assert_eq!(Reply::new(334, None, "").to_wire(), b"334 \r\n");
    }
}
