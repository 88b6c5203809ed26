//! The header block: where it ends, and the fields in it as the bytes they are.
//!
//! The rule for the end is sendmail's and Postfix's, not RFC 5322's: an empty line ends the block
//! and belongs to neither side, and so does the first line that is neither a field nor the
//! continuation of one, which is then the first line of the body. Lines from mbox files
//! (`From sender date`, also with `>` before it) at the very top belong to the block, as callers
//! such as formail leave them there. A folded line of blanks only does not end the block.

use std::fmt;

/// The longest header block in bytes that [`Splitter::new`] takes.
pub const HEADER_LIMIT: usize = 256 * 1024;

/// The longest field name in bytes; a longer word before a colon makes the line body text. RFC
/// 5322 section 2.1.1 allows a line 998 bytes.
const NAME_LIMIT: usize = 998;

/// The header block is longer than so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderTooLong(pub usize);

impl fmt::Display for HeaderTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the header block is longer than {} bytes", self.0)
    }
}

impl std::error::Error for HeaderTooLong {}

/// Finds the header block in a stream whose lines end in CR LF (a bare LF is taken too).
///
/// Feed it until it tells where the body begins, then take the block with [`Splitter::finish`].
/// The message to store is the block, an empty line, [`Head::body`] and all further bytes.
#[derive(Clone, Debug)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// The most that `buffer` may hold.
    limit: usize,
    /// Where the line that is being read begins in `buffer`.
    line_start: usize,
    seen_field: bool,
    line: Line,
}

/// What [`Splitter`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The header block: whole lines in CR LF, without the empty line after it. May be empty.
    pub block: Vec<u8>,
    /// Bytes that had been fed but belong to the body: the beginning of a line that proved to be
    /// no header field. At most about a thousand; empty where an empty line ended the block.
    pub body: Vec<u8>,
}

/// What is known of the line that is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// Nothing of it was read.
    #[default]
    Start,
    /// A CR and nothing else.
    Return,
    /// Part of a field name.
    Name,
    /// A field name and blanks after it.
    NameThenBlank,
    /// A field, a continuation or an mbox line: it belongs to the block up to its end.
    Inside,
    /// The empty line was read.
    Blank,
    /// The line belongs to the body.
    Body,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new()
    }
}

impl Splitter {
    /// A splitter at the start of a message.
    #[must_use]
    pub fn new() -> Self {
        Self::bounded(HEADER_LIMIT)
    }

    /// The same with another limit than [`HEADER_LIMIT`], in bytes.
    #[must_use]
    pub const fn bounded(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            limit,
            line_start: 0,
            seen_field: false,
            line: Line::Start,
        }
    }

    /// Takes the next bytes. `Some(n)` says that the block has ended and that the body goes on
    /// with `bytes[n..]`; after that nothing more may be fed. `None` says that more is wanted, or
    /// [`Splitter::finish`] at the end of the message.
    ///
    /// # Errors
    /// [`HeaderTooLong`] as soon as more bytes than the limit would be kept.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeaderTooLong> {
        let mut used = 0;
        while used < bytes.len() && !self.ended() {
            let rest = &bytes[used..];
            let take = match self.line {
                Line::Inside => rest
                    .iter()
                    .position(|b| *b == b'\n')
                    .map_or(rest.len(), |n| n + 1),
                _ => 1,
            };
            if self.buffer.len() + take > self.limit {
                return Err(HeaderTooLong(self.limit));
            }
            self.buffer.extend_from_slice(&rest[..take]);
            used += take;
            self.advance(rest[take - 1]);
        }
        Ok(self.ended().then_some(used))
    }

    /// The block and the beginning of the body. Also ends a block that the message ended in: a
    /// field without line end gets one.
    #[must_use]
    pub fn finish(mut self) -> Head {
        if self.line == Line::NameThenBlank && self.is_mbox_line() {
            self.line = Line::Inside;
        }
        let body = match self.line {
            Line::Blank => {
                self.buffer.truncate(self.line_start);
                Vec::new()
            }
            Line::Start | Line::Inside => Vec::new(),
            Line::Return | Line::Name | Line::NameThenBlank | Line::Body => {
                self.buffer.split_off(self.line_start)
            }
        };
        if self.line == Line::Inside {
            let ended_by_cr = self.buffer.last() == Some(&b'\r');
            self.buffer
                .extend_from_slice(if ended_by_cr { b"\n" } else { b"\r\n" });
        }
        Head {
            block: self.buffer,
            body,
        }
    }

    fn ended(&self) -> bool {
        matches!(self.line, Line::Blank | Line::Body)
    }

    fn advance(&mut self, byte: u8) {
        self.line = match (self.line, byte) {
            (Line::Start, b'\r') => Line::Return,
            (Line::Start | Line::Return, b'\n') => Line::Blank,
            (Line::Start, b' ' | b'\t') if self.seen_field => Line::Inside,
            (Line::Name | Line::NameThenBlank, b':') => {
                self.seen_field = true;
                Line::Inside
            }
            (Line::Start | Line::Name, _) if is_name_byte(byte) && self.name_fits() => Line::Name,
            (Line::Name | Line::NameThenBlank, b' ' | b'\t') if self.name_fits() => {
                Line::NameThenBlank
            }
            (Line::NameThenBlank, _) if self.is_mbox_line() => Line::Inside,
            (Line::Inside, _) => Line::Inside,
            _ => Line::Body,
        };
        if byte == b'\n' && self.line == Line::Inside {
            self.line_start = self.buffer.len();
            self.line = Line::Start;
        }
    }

    fn name_fits(&self) -> bool {
        self.buffer.len() - self.line_start <= NAME_LIMIT
    }

    /// Asked when what was read of the line cannot be a field.
    fn is_mbox_line(&self) -> bool {
        !self.seen_field && starts_mbox_line(&self.buffer[self.line_start..])
    }
}

/// A header block: any number of whole lines in CR LF, without the empty line after it.
///
/// Any bytes may be looked at as a block. Lines that cannot stand in one are fields without name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderBlock<'a>(&'a [u8]);

impl<'a> HeaderBlock<'a> {
    /// Takes `block` for a header block, as [`Splitter`] gives it.
    #[must_use]
    pub const fn new(block: &'a [u8]) -> Self {
        Self(block)
    }

    /// Splits a message that is at hand whole, its lines ending in CR LF. Gives the block and the
    /// place in `message` where the body begins. Unlike [`Splitter`] it knows no limit.
    #[must_use]
    pub fn split(message: &'a [u8]) -> (Self, usize) {
        let mut end = 0;
        let mut seen_field = false;
        while end < message.len() {
            let line = first_line(&message[end..]);
            if matches!(line, b"\r\n" | b"\n") {
                return (Self(&message[..end]), end + line.len());
            }
            let is_field = name_and_value(line).is_some();
            let continues = seen_field && matches!(line[0], b' ' | b'\t');
            if !(is_field || continues || !seen_field && starts_mbox_line(line)) {
                break;
            }
            seen_field |= is_field;
            end += line.len();
        }
        (Self(&message[..end]), end)
    }

    /// The bytes of the block.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The fields from top to bottom; their raw bytes, put together, are the block. Mbox lines at
    /// the top are fields without name.
    pub fn fields(self) -> impl Iterator<Item = Field<'a>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let mut length = first_line(rest).len();
            while matches!(rest.get(length), Some(b' ' | b'\t')) {
                length += first_line(&rest[length..]).len();
            }
            let (raw, after) = rest.split_at(length);
            rest = after;
            (length > 0).then(|| Field::new(raw))
        })
    }

    /// The first field of that name; names differ in more than case.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Field<'a>> {
        self.fields().find(|field| field.is(name))
    }

    /// The block without the fields of that name.
    #[must_use]
    pub fn without(self, name: &str) -> Vec<u8> {
        let kept = self.fields().filter(|field| !field.is(name));
        kept.flat_map(|field| field.raw().iter().copied()).collect()
    }
}

/// One header field with its continuation lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    raw: &'a [u8],
    name: &'a str,
    value: &'a [u8],
}

impl<'a> Field<'a> {
    fn new(raw: &'a [u8]) -> Self {
        let (name, value) = name_and_value(raw).unwrap_or(("", raw));
        Self { raw, name, value }
    }

    /// All bytes of the field, with its line ends.
    #[must_use]
    pub const fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// The name, without blanks before the colon; empty for a line that is no field.
    #[must_use]
    pub const fn name(self) -> &'a str {
        self.name
    }

    /// Everything after the colon, with folding and the last line end as they are.
    #[must_use]
    pub const fn value(self) -> &'a [u8] {
        self.value
    }

    /// Whether the field has this name, in any case.
    #[must_use]
    pub const fn is(self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value for reading: unfolded, trimmed, encoded words (RFC 2047) decoded, other bytes
    /// taken for UTF-8 or else Latin-1. Reads the first 4,096 bytes only, as decoding is not
    /// linear. May hold any character, controls too.
    #[must_use]
    pub fn text(self) -> String {
        let value = &self.value[..self.value.len().min(4_096)];
        let field = [b"X:", value].concat();
        let parsed = mailparse::parse_header(&field);
        parsed
            .map(|(header, _)| header.get_value().trim().to_owned())
            .unwrap_or_default()
    }
}

/// The line at the start of `text` with its LF; all of `text` if there is none.
fn first_line(text: &[u8]) -> &[u8] {
    let length = text
        .iter()
        .position(|b| *b == b'\n')
        .map_or(text.len(), |at| at + 1);
    &text[..length]
}

/// Takes apart `name [blanks] : value`. `None` if the text does not start with a field name.
fn name_and_value(text: &[u8]) -> Option<(&str, &[u8])> {
    let length = text
        .iter()
        .take(NAME_LIMIT + 1)
        .position(|b| !is_name_byte(*b))?;
    let name = std::str::from_utf8(&text[..length]).ok()?;
    let blanks = text[length..]
        .iter()
        .position(|b| !matches!(b, b' ' | b'\t'))?;
    let value = text[length + blanks..].strip_prefix(b":")?;
    (length > 0 && length + blanks <= NAME_LIMIT).then_some((name, value))
}

/// Printable ASCII but the colon (RFC 5322 section 2.2).
const fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'!'..=b'9' | b';'..=b'~')
}

/// `From ` in this case, any number of `>` before it; asked only of what is no field.
fn starts_mbox_line(line: &[u8]) -> bool {
    let marks = line.iter().take_while(|b| **b == b'>').count();
    let fits = marks + b"From ".len() <= NAME_LIMIT;
    fits && line[marks..].starts_with(b"From ") && name_and_value(line).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Splits `message`, fed in pieces of `size` bytes.
    fn head(message: &[u8], size: usize) -> (Head, usize) {
        let mut splitter = Splitter::new();
        let mut body = message.len();
        for (at, piece) in message.chunks(size).enumerate() {
            if let Some(used) = splitter.feed(piece).unwrap() {
                body = at * size + used;
                break;
            }
        }
        (splitter.finish(), body)
    }

    #[track_caller]
    fn check(message: &str, block: &str, body: &str) {
        let (head, rest) = head(message.as_bytes(), 3);
        assert_eq!(String::from_utf8_lossy(&head.block), block, "{message:?}");
        let found = [&head.body, &message.as_bytes()[rest..]].concat();
        assert_eq!(String::from_utf8_lossy(&found), body, "{message:?}");
    }

    #[test]
    fn an_empty_line_ends_the_block() {
        check(
            "To: a\r\nS: s\r\n\r\nbody: x\r\n",
            "To: a\r\nS: s\r\n",
            "body: x\r\n",
        );
        check("To: a\n\nb\n", "To: a\n", "b\n");
        check("\r\nSubject: in body\r\n", "", "Subject: in body\r\n");
        check("", "", "");
    }

    #[test]
    fn so_does_a_line_that_is_no_field() {
        check(
            "To: a\r\nthis is text\r\nCc: b\r\n",
            "To: a\r\n",
            "this is text\r\nCc: b\r\n",
        );
        check(
            "just text\r\nsecond: x\r\n",
            "",
            "just text\r\nsecond: x\r\n",
        );
        check(" To: a\r\n\r\nb\r\n", "", " To: a\r\n\r\nb\r\n");
        check(": x\r\n", "", ": x\r\n");
        check("Töpic: x\r\n", "", "Töpic: x\r\n");
        check("a", "", "a");
        check("\rx", "", "\rx");
        let long = "x".repeat(70_000);
        check(&long, "", &long);
        check(&format!("{long}: y\r\n"), "", &format!("{long}: y\r\n"));
    }

    #[test]
    fn folded_lines_and_blanks_before_the_colon_belong_to_it() {
        check(
            "To: a,\r\n b\r\n \t\r\n\tc\r\n\r\n",
            "To: a,\r\n b\r\n \t\r\n\tc\r\n",
            "",
        );
        check("To : a\r\nX\t: b\r\n", "To : a\r\nX\t: b\r\n", "");
    }

    #[test]
    fn mbox_lines_at_the_top_belong_to_it() {
        let block = "From me Mon Nov 23 18:24:12 2026\r\n>From x\r\nTo: a\r\n";
        check(&format!("{block}\r\nb"), block, "b");
        check("From : a@b\r\n\r\n", "From : a@b\r\n", "");
        check("To: a\r\nFrom x\r\n", "To: a\r\n", "From x\r\n");
        check("From me\r\n x\r\n", "From me\r\n", " x\r\n");
    }

    #[test]
    fn a_last_line_without_end_gets_one() {
        check("To: a", "To: a\r\n", "");
        check("To: a\r\n b\r", "To: a\r\n b\r\n", "");
        check("To: a\r\n\r", "To: a\r\n", "\r");
    }

    #[test]
    fn the_block_is_bounded() {
        let line = b"X: 0123456789abc\r\n";
        let mut splitter = Splitter::new();
        for _ in 0..HEADER_LIMIT / line.len() {
            assert_eq!(splitter.feed(line), Ok(None));
        }
        assert_eq!(splitter.feed(line), Err(HeaderTooLong(HEADER_LIMIT)));
    }

    #[test]
    fn fields_are_found_by_name_in_any_case() {
        let block = HeaderBlock::new(b"From x\r\nTO : a\r\n b\r\nSubject:=?utf-8?q?=C3=BC?= x\r\n");
        let to = block.get("to").unwrap();
        assert_eq!((to.name(), to.value()), ("TO", &b" a\r\n b\r\n"[..]));
        assert_eq!(to.text(), "a b");
        assert_eq!(block.get("Subject").unwrap().text(), "ü x");
        assert_eq!(block.get("Cc"), None);
        assert_eq!(
            block.without("To"),
            b"From x\r\nSubject:=?utf-8?q?=C3=BC?= x\r\n"
        );
    }

    /// Bytes of which colons, blanks and line ends are a good part.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            2 => Just(b"\r\n".to_vec()),
            1 => Just(b"\n".to_vec()),
            1 => Just(b"To: a@b\r\n".to_vec()),
            1 => Just(b"From ".to_vec()),
            1 => Just(b">".to_vec()),
            1 => Just(b":".to_vec()),
            1 => Just(b" ".to_vec()),
            1 => Just(b"\t".to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..5),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn fields_put_together_are_the_block(bytes in text()) {
            let fields: Vec<&[u8]> = HeaderBlock::new(&bytes).fields().map(Field::raw).collect();
            prop_assert_eq!(fields.concat(), &bytes[..]);
            for field in HeaderBlock::new(&bytes).fields() {
                let _ = field.text();
            }
        }

        #[test]
        fn the_splitter_agrees_with_split_however_fed(bytes in text(), size in 1_usize..9) {
            let (block, body) = HeaderBlock::split(&bytes);
            let (head, rest) = head(&bytes, size);
            let mut expected = block.as_bytes().to_vec();
            if !expected.is_empty() && !expected.ends_with(b"\n") {
                expected.extend_from_slice(if expected.ends_with(b"\r") { b"\n" } else { b"\r\n" });
            }
            prop_assert_eq!(head.block, expected);
            prop_assert_eq!([&head.body, &bytes[rest..]].concat(), &bytes[body..]);
        }

        #[test]
        fn every_field_of_a_block_but_mbox_lines_has_a_name(bytes in text()) {
            let (block, _) = HeaderBlock::split(&bytes);
            let mbox = |field: &Field<'_>| starts_mbox_line(field.raw());
            prop_assert!(block.fields().skip_while(mbox).all(|field| !field.name().is_empty()));
        }

        #[test]
        fn mailparse_finds_the_same_fields(
            fields in proptest::collection::vec(("[A-Za-z-]{1,9}", "[!-~]{1,9}(\r\n [!-~]{1,9})?"), 0..6),
        ) {
            let lines: Vec<_> = fields.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
            let block = lines.concat();
            let (parsed, _) = mailparse::parse_headers(block.as_bytes()).unwrap();
            let theirs: Vec<_> = parsed.iter().map(|h| (h.get_key(), h.get_value())).collect();
            let ours: Vec<_> = HeaderBlock::new(block.as_bytes())
                .fields()
                .map(|field| (field.name().to_owned(), field.text()))
                .collect();
            prop_assert_eq!(ours, theirs);
        }
    }
}
