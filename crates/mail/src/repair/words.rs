//! Header text in ASCII: encoded words (RFC 2047), and fields of free text made of them.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::LINE_LIMIT;
use super::encode::escaped;

/// RFC 2047 section 2 allows an encoded word 75 characters; `=?utf-8?Q??=` takes 12 of them.
const CONTENT_LIMIT: usize = 63;

/// Where lines with encoded words are folded (RFC 2047 section 2).
const FOLD: usize = 76;

/// A longer word is encoded, since a line could not be folded within it.
pub(super) const WORD_LIMIT: usize = 900;

/// The text of a header: UTF-8, or else Latin-1.
pub(super) fn readable(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// The text with the encoded words in it decoded, unfolded and trimmed.
pub(crate) fn decoded(bytes: &[u8]) -> String {
    let text = readable(bytes);
    if !text.contains("=?") {
        return text.replace(['\r', '\n'], "").trim().to_owned();
    }
    let field = format!("X:{text}");
    mailparse::parse_header(field.as_bytes())
        .map(|(header, _)| header.get_value().trim().to_owned())
        .unwrap_or_default()
}

/// Encoded words that say `text`, of at most 75 characters each, no character cut in two; to be
/// joined by blanks, which do not count as text. Fit for phrases and comments too.
pub(crate) fn encoded(text: &str) -> Vec<String> {
    // Base64 is shorter in most alphabets but Latin, where Q can still be read.
    let foreign = text.bytes().filter(|byte| !byte.is_ascii()).count();
    if text.len() > 12 && foreign * 2 > text.len() {
        let limit = CONTENT_LIMIT / 4 * 3;
        let pieces = cut(text, limit, |character| character.len_utf8());
        pieces
            .map(|piece| format!("=?utf-8?B?{}?=", STANDARD.encode(piece)))
            .collect()
    } else {
        let pieces = cut(text, CONTENT_LIMIT, |c| in_q(c).len());
        pieces
            .map(|piece| {
                let piece: String = piece.chars().map(in_q).collect();
                format!("=?utf-8?Q?{piece}?=")
            })
            .collect()
    }
}

/// Cuts text into pieces of at most `limit` by the characters' `length`.
fn cut(text: &str, limit: usize, length: impl Fn(char) -> usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let full = |(at, character): (usize, char)| {
            sum += length(character);
            (sum > limit).then_some(at)
        };
        let end = rest.char_indices().find_map(full).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What the Q encoding leaves as it is everywhere (RFC 2047 section 5, rule 3).
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'!' | b'*' | b'+' | b'-' | b'/')
}

fn in_q(character: char) -> String {
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).bytes();
    let mut code = String::new();
    for byte in bytes {
        match byte {
            b' ' => code.push('_'),
            _ if is_plain(byte) => code.push(char::from(byte)),
            _ => code.extend(escaped(byte).map(char::from)),
        }
    }
    code
}

/// Encoded words that say `text`, folded, with blanks before and after to set them apart.
pub(super) fn folded(text: &str) -> String {
    encoded(text).join("\r\n ")
}

/// A field of free text in ASCII, in lines of at most 998 bytes, that reads as the one given.
/// `value` is without its last line end.
pub(super) fn free_text(name: &str, value: &[u8]) -> Vec<u8> {
    let text = readable(value);
    let mut line = Line::new(name);
    let words = split(&text);
    let mut at = 0;
    while at < words.len() {
        let end = at
            + words[at..]
                .iter()
                .take_while(|word| word.is_foreign())
                .count();
        if end > at {
            line.encoded(&words, at, end);
            at = end;
        } else {
            line.plain(words[at]);
            at += 1;
        }
    }
    let out = format!("{}\r\n", line.out);
    if fits(out.as_bytes()) {
        return out.into_bytes();
    }
    // Blanks by the thousand, or a name that leaves no room.
    let unfolded = text.replace(['\r', '\n'], "");
    let out = format!("{name}:\r\n {}\r\n", folded(&unfolded));
    if fits(out.as_bytes()) {
        return out.into_bytes();
    }
    let whole = format!("{name}:{unfolded}");
    format!("X-Unfit-Field:\r\n {}\r\n", folded(&whole)).into_bytes()
}

/// Whether all is ASCII and no line too long.
pub(super) fn fits(lines: &[u8]) -> bool {
    lines.is_ascii() && !has_long_line(lines)
}

/// Whether a line is longer than may be sent.
pub(super) fn has_long_line(lines: &[u8]) -> bool {
    let mut lines = lines.split(|byte| *byte == b'\n');
    lines.any(|line| line.strip_suffix(b"\r").unwrap_or(line).len() > LINE_LIMIT)
}

/// A word and the blanks before it.
#[derive(Clone, Copy)]
struct Word<'a> {
    blanks: &'a str,
    text: &'a str,
}

impl Word<'_> {
    fn is_foreign(&self) -> bool {
        !self.text.is_ascii() || self.text.len() > WORD_LIMIT
    }

    fn is_encoded(&self) -> bool {
        self.text.contains("=?") && self.text.contains("?=")
    }

    /// The blanks, unfolded: a line break and what follows it are one blank.
    fn gap(&self) -> Cow<'_, str> {
        match self.blanks.find(['\r', '\n']) {
            Some(at) => Cow::Owned(format!("{} ", &self.blanks[..at])),
            None => Cow::Borrowed(self.blanks),
        }
    }
}

fn split(text: &str) -> Vec<Word<'_>> {
    let is_blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (blanks, after) = rest.split_at(rest.find(|c| !is_blank(c)).unwrap_or(rest.len()));
        let (text, after) = after.split_at(after.find(is_blank).unwrap_or(after.len()));
        words.push(Word { blanks, text });
        rest = after;
    }
    words
}

/// A field that is being put together.
struct Line {
    out: String,
    column: usize,
}

impl Line {
    fn new(name: &str) -> Self {
        Self {
            out: format!("{name}:"),
            column: name.len() + 1,
        }
    }

    fn plain(&mut self, word: Word<'_>) {
        self.put(word.blanks, word.text, LINE_LIMIT);
    }

    /// The words from `at` to `end`, with the blanks that would be lost between encoded words.
    fn encoded(&mut self, words: &[Word<'_>], at: usize, end: usize) {
        let mut text = String::new();
        for (place, word) in words.iter().enumerate().take(end).skip(at) {
            let joined = place > at || at > 0 && words[at - 1].is_encoded();
            if joined {
                text.push_str(&word.gap());
            }
            text.push_str(word.text);
        }
        if let Some(next) = words.get(end).filter(|next| next.is_encoded()) {
            text.push_str(&next.gap());
        }
        let mut blanks = if words[at].blanks.is_empty() {
            " "
        } else {
            words[at].blanks
        };
        for word in encoded(&text) {
            self.put(blanks, &word, FOLD);
            blanks = " ";
        }
    }

    /// Adds blanks and a word, on a new line where the word does not fit.
    fn put(&mut self, blanks: &str, word: &str, limit: usize) {
        let too_long = self.column + blanks.len() + word.len() > limit;
        let (before, last) = blanks.split_at(blanks.len().saturating_sub(1));
        if let Some(at) = blanks.rfind('\n') {
            self.out.push_str(blanks);
            self.column = blanks.len() - at - 1;
        } else if too_long && !blanks.is_empty() && !word.is_empty() {
            // Some readers make one blank of a line break and all blanks after it.
            self.out.push_str(before);
            self.out.push_str("\r\n");
            self.out.push_str(last);
            self.column = last.len();
        } else {
            self.out.push_str(blanks);
            self.column += blanks.len();
        }
        self.out.push_str(word);
        self.column += word.len();
    }
}
