//! Bodies in seven bits and short lines: quoted-printable and base64 (RFC 2045 section 6).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::LINE_LIMIT;

/// RFC 2045 allows an encoded line 76 characters; in quoted-printable the last may be the `=` of a
/// soft line break.
const LINE: usize = 76;

/// How many bytes fill a line of base64.
const BASE64_LINE: usize = LINE / 4 * 3;

/// A body on its way into another form.
pub(super) enum Recode {
    /// Stays as it is.
    Copy,
    /// Into quoted-printable.
    Quote(Quoter),
    /// Into base64.
    Base64(Vec<u8>, Started),
    /// Quoted-printable with bytes or lines that must not be in it, into what it should be.
    Requote(Requoter),
    /// Base64 with such.
    Rewrap(Wrapper),
    /// Text that means nothing. Unless `eight_bit` is allowed, such bytes are written as `=XX`.
    Aside { wrapper: Wrapper, eight_bit: bool },
}

/// Whether something of a body came out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Started(pub(super) bool);

impl Recode {
    pub(super) fn text(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Copy => out.extend_from_slice(bytes),
            Self::Quote(quoter) => quoter.text(bytes, out),
            Self::Base64(gathered, started) => to_base64(gathered, started, bytes, out),
            Self::Requote(requoter) => requoter.text(bytes, out),
            Self::Rewrap(wrapper) => {
                for byte in bytes.iter().filter(|byte| byte.is_ascii()) {
                    wrapper.push(&[*byte], out);
                }
            }
            Self::Aside { wrapper, eight_bit } => {
                for &byte in bytes {
                    if byte.is_ascii() || *eight_bit {
                        wrapper.push(&[byte], out);
                    } else {
                        wrapper.push(&escaped(byte), out);
                    }
                }
            }
        }
    }

    pub(super) fn line_end(&mut self, end: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Copy => out.extend_from_slice(end),
            Self::Quote(quoter) => quoter.line_end(out),
            Self::Base64(gathered, started) => to_base64(gathered, started, end, out),
            Self::Requote(requoter) => requoter.line_end(out),
            Self::Rewrap(wrapper) | Self::Aside { wrapper, .. } => wrapper.line_end(end, out),
        }
    }

    /// The end of the body; `last`: nothing follows, so the last line must end.
    pub(super) fn finish(&mut self, last: bool, out: &mut Vec<u8>) {
        match self {
            Self::Quote(quoter) => quoter.finish(out),
            Self::Base64(gathered, started) => {
                if !gathered.is_empty() {
                    base64_line(gathered, started, out);
                }
                if last && started.0 {
                    out.extend_from_slice(b"\r\n");
                }
            }
            Self::Requote(requoter) => requoter.flush(out),
            Self::Copy | Self::Rewrap(_) | Self::Aside { .. } => {}
        }
    }
}

fn to_base64(gathered: &mut Vec<u8>, started: &mut Started, bytes: &[u8], out: &mut Vec<u8>) {
    let mut bytes = bytes;
    while gathered.len() + bytes.len() >= BASE64_LINE {
        let (now, later) = bytes.split_at(BASE64_LINE - gathered.len());
        gathered.extend_from_slice(now);
        base64_line(gathered, started, out);
        gathered.clear();
        bytes = later;
    }
    gathered.extend_from_slice(bytes);
}

fn base64_line(bytes: &[u8], started: &mut Started, out: &mut Vec<u8>) {
    if std::mem::replace(&mut started.0, true) {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// `=XX`.
pub(super) fn escaped(byte: u8) -> [u8; 3] {
    let digit = |value: u8| HEX[usize::from(value)];
    [b'=', digit(byte >> 4), digit(byte & 15)]
}

/// Text into quoted-printable.
#[derive(Default)]
pub(super) struct Quoter {
    line: SoftLine,
    /// A blank that must be escaped if the line ends after it.
    blank: Option<u8>,
}

impl Quoter {
    fn text(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            if let Some(blank) = self.blank.take() {
                self.line.push(&[blank], out);
            }
            match byte {
                b' ' | b'\t' => self.blank = Some(byte),
                b'=' | 0..=31 | 127.. => self.line.push(&escaped(byte), out),
                // So that no line looks like a boundary, or ends the mail of a careless server.
                b'-' | b'.' if self.line.is_fresh() => self.line.push(&escaped(byte), out),
                _ => self.line.push(&[byte], out),
            }
        }
    }

    fn line_end(&mut self, out: &mut Vec<u8>) {
        self.finish(out);
        self.line.end(out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(blank) = self.blank.take() {
            self.line.push(&escaped(blank), out);
        }
    }
}

/// A line that is broken softly before it gets too long.
#[derive(Default)]
struct SoftLine {
    column: usize,
}

impl SoftLine {
    /// Whether the next character will be the first of a line.
    const fn is_fresh(&self) -> bool {
        self.column == 0 || self.column >= LINE - 1
    }

    fn push(&mut self, token: &[u8], out: &mut Vec<u8>) {
        if self.column + token.len() > LINE - 1 {
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
        out.extend_from_slice(token);
        self.column += token.len();
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.column = 0;
    }
}

/// Quoted-printable into quoted-printable that keeps the rules. What it says stays the same.
#[derive(Default)]
pub(super) struct Requoter {
    line: SoftLine,
    /// A `=` and what was read of the two digits after it; never broken in two.
    escape: Vec<u8>,
}

impl Requoter {
    fn text(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            if byte == b'=' {
                self.flush(out);
                self.escape.push(byte);
            } else if !self.escape.is_empty() && byte.is_ascii() {
                self.escape.push(byte);
                if self.escape.len() == 3 {
                    self.flush(out);
                }
            } else {
                self.flush(out);
                let fresh = self.line.column >= LINE - 1;
                match byte {
                    128.. => self.line.push(&escaped(byte), out),
                    b'-' if fresh => self.line.push(&escaped(byte), out),
                    _ => self.line.push(&[byte], out),
                }
            }
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if !self.escape.is_empty() {
            self.line.push(&self.escape, out);
            self.escape.clear();
        }
    }

    fn line_end(&mut self, out: &mut Vec<u8>) {
        // A `=` alone is a soft line break, which is as good as one of ours.
        out.extend_from_slice(&self.escape);
        self.escape.clear();
        self.line.end(out);
    }
}

/// Breaks lines that are too long, where the break means nothing.
pub(super) struct Wrapper {
    column: usize,
    most: usize,
}

impl Wrapper {
    /// For base64.
    pub(super) const fn short() -> Self {
        Self {
            column: 0,
            most: LINE,
        }
    }

    /// For text that is to stay as it is as far as it can.
    pub(super) const fn long() -> Self {
        Self {
            column: 0,
            most: LINE_LIMIT - 8,
        }
    }

    fn push(&mut self, token: &[u8], out: &mut Vec<u8>) {
        if self.column + token.len() > self.most {
            // The blank keeps what follows from looking like a boundary.
            let indent: &[u8] = if token == b"-" { b"\r\n " } else { b"\r\n" };
            out.extend_from_slice(indent);
            self.column = indent.len() - 2;
        }
        out.extend_from_slice(token);
        self.column += token.len();
    }

    fn line_end(&mut self, end: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(end);
        self.column = 0;
    }
}
