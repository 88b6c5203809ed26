//! Addresses in ASCII: domains as A-labels (RFC 5890), names and comments as encoded words.

use std::ops::Range;

use super::LINE_LIMIT;
use super::words::{self, WORD_LIMIT};
use crate::Address;
use crate::lexer::{Kind, Token, scan};
use crate::mailboxes::{self, Mailbox};

/// The longest address, in bytes, that stands on a line with what may be before and after it: the
/// names of address fields are shorter than what is left.
const ADDRESS_LIMIT: usize = LINE_LIMIT - 40;

/// The address as a gateway without SMTPUTF8 takes it: the domain in A-labels. `None` where the
/// local part is not ASCII, which has no other form, or the domain is no name that can have one.
#[must_use]
pub fn ascii_address(address: &Address) -> Option<Address> {
    if address.is_ascii() {
        return Some(address.clone());
    }
    let domain = idna::domain_to_ascii(address.domain()?).ok()?;
    let text = format!("{}@{domain}", address.local());
    Address::parse(&text).ok().filter(Address::is_ascii)
}

/// An address list in ASCII, folded so that no line is too long, as far as that can be done. An
/// address that has no ASCII form, or fits no line, is shown as text in an empty group (RFC 6857
/// section 3.1.6).
pub(super) fn list(value: &[u8]) -> Vec<u8> {
    let tokens = scan(value);
    let mailboxes = mailboxes::parse(value);
    let mut edits: Vec<Edit> = mailboxes
        .iter()
        .filter(|mailbox| {
            let foreign = !value[mailbox.span.clone()].is_ascii();
            foreign || longest_run(tokens_in(&tokens, &mailbox.span)) > ADDRESS_LIMIT
        })
        .map(|mailbox| address_edit(value, &tokens, mailbox))
        .collect();
    edits.extend(word_edits(value, &tokens, &mailboxes));
    edits.sort_by_key(|edit| edit.place.start);
    folded(&applied(value, &edits))
}

/// New text for a part of the list.
struct Edit {
    place: Range<usize>,
    text: String,
}

fn address_edit(value: &[u8], tokens: &[Token], mailbox: &Mailbox) -> Edit {
    let span = mailbox.span.clone();
    let ascii = mailbox.address.as_ref().ok().and_then(ascii_address);
    if let Some(address) = ascii.filter(|address| address.as_str().len() <= ADDRESS_LIMIT) {
        return Edit {
            place: span,
            text: address.to_string(),
        };
    }
    let text = words::folded(words::readable(&value[span.clone()]).trim());
    let first = tokens.partition_point(|token| token.end <= span.start);
    let before = first.checked_sub(1).map(|before| &tokens[before]);
    let after = tokens.get(tokens.partition_point(|token| token.start < span.end));
    let place = match (before, after) {
        (Some(open), Some(close)) if open.is(b'<') && close.is(b'>') => open.start..close.end,
        _ => span,
    };
    // The words before a group are its name, so an address there needs its comma.
    let comma = if mailbox.lacks_comma { ", " } else { "" };
    Edit {
        place,
        text: format!("{comma}{text} :;"),
    }
}

/// Comments and phrases that must be encoded.
fn word_edits(value: &[u8], tokens: &[Token], mailboxes: &[Mailbox]) -> Vec<Edit> {
    let outside = |token: &&Token| {
        let place = mailboxes.partition_point(|mailbox| mailbox.span.end <= token.start);
        mailboxes
            .get(place)
            .is_none_or(|mailbox| token.end <= mailbox.span.start)
    };
    let mut edits = Vec::new();
    let mut phrase: Vec<Token> = Vec::new();
    for token in tokens {
        let is_outside = outside(&token);
        if is_outside && in_phrase(token.kind) {
            phrase.push(*token);
            continue;
        }
        edits.extend(phrase_edit(value, &phrase));
        phrase.clear();
        if is_outside && token.kind == Kind::Comment {
            edits.extend(comment_edit(value, token));
        }
    }
    edits.extend(phrase_edit(value, &phrase));
    edits
}

const fn in_phrase(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Comment | Kind::Special(b'<' | b'>' | b',' | b';' | b':')
    )
}

fn is_foreign(bytes: &[u8]) -> bool {
    !bytes.is_ascii() || bytes.len() > WORD_LIMIT
}

/// The tokens in this place.
fn tokens_in<'a>(tokens: &'a [Token], place: &Range<usize>) -> &'a [Token] {
    let start = tokens.partition_point(|token| token.start < place.start);
    let end = tokens.partition_point(|token| token.start < place.end);
    &tokens[start..end]
}

/// How many bytes of the tokens stand together at most, so that no line can be folded within them.
fn longest_run(tokens: &[Token]) -> usize {
    let (mut longest, mut start, mut end) = (0, 0, 0);
    for token in tokens {
        if token.start != end {
            start = token.start;
        }
        end = token.end;
        longest = longest.max(end - start);
    }
    longest
}

fn phrase_edit(value: &[u8], phrase: &[Token]) -> Option<Edit> {
    let place = phrase.first()?.start..phrase.last()?.end;
    let foreign = !value[place.clone()].is_ascii() || longest_run(phrase) > WORD_LIMIT;
    foreign.then(|| Edit {
        place,
        text: words::folded(&phrase_text(value, phrase)),
    })
}

/// What a phrase says: its words without quotes, encoded ones decoded.
pub(crate) fn phrase_text(value: &[u8], phrase: &[Token]) -> String {
    let mut text = Vec::new();
    let mut end = None;
    for token in phrase {
        if end.is_some_and(|end| end < token.start) {
            text.push(b' ');
        }
        end = Some(token.end);
        text.extend(token.content(value));
    }
    words::decoded(&text)
}

fn comment_edit(value: &[u8], comment: &Token) -> Option<Edit> {
    let place = comment.start..comment.end;
    let bytes = &value[place.clone()];
    is_foreign(bytes).then(|| Edit {
        place,
        text: format!("({})", words::folded(&comment_text(bytes))),
    })
}

/// What a comment says, without its parentheses.
pub(crate) fn comment_text(comment: &[u8]) -> String {
    let inner = comment.strip_prefix(b"(").unwrap_or(comment);
    let inner = inner.strip_suffix(b")").unwrap_or(inner);
    let mut text = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for &byte in inner {
        escaped = byte == b'\\' && !escaped;
        if !escaped {
            text.push(byte);
        }
    }
    words::decoded(&text)
}

/// The text with the edits made; what is new is set apart by blanks.
fn applied(value: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 2);
    let mut copied = 0;
    let is_glue = |byte: Option<&u8>| {
        byte.is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'<' | b'@' | b','))
    };
    for edit in edits.iter() {
        if edit.place.start < copied {
            continue;
        }
        out.extend_from_slice(&value[copied..edit.place.start]);
        let is_word = edit.text.starts_with("=?");
        if is_word && (is_glue(out.last()) || out.last() == Some(&b',')) {
            out.push(b' ');
        }
        out.extend_from_slice(edit.text.as_bytes());
        copied = edit.place.end;
        if is_word && matches!(value.get(copied), Some(next) if !b" \t\r\n,;:)".contains(next)) {
            out.push(b' ');
        }
    }
    out.extend_from_slice(&value[copied..]);
    out
}

/// The list folded at blanks, after commas and around comments and names, if a line of it is too long
/// with the field's name. Nothing within an address, nor within a word, is parted.
fn folded(value: &[u8]) -> Vec<u8> {
    let mut lines = value.split(|byte| *byte == b'\n');
    if lines.all(|line| line.len() <= ADDRESS_LIMIT) {
        return value.to_vec();
    }
    let tokens = scan(value);
    let mut out = Vec::with_capacity(value.len() + value.len() / 256);
    let mut column = WORD_LIMIT / 2;
    let mut copied = 0;
    let mut rest = &tokens[..];
    while let Some(first) = rest.first() {
        let together = rest
            .windows(2)
            .take_while(|pair| !is_place(&pair[0], &pair[1]));
        let (run, after) = rest.split_at(together.count() + 1);
        let end = run.last().map_or(first.end, |last| last.end);
        let (gap, text) = (&value[copied..first.start], &value[first.start..end]);
        if gap.contains(&b'\n') {
            column = 0;
        } else if column + gap.len() + text.len() > WORD_LIMIT && (copied > 0 || !gap.is_empty()) {
            out.extend_from_slice(if gap.is_empty() { b"\r\n " } else { b"\r\n" });
            column = 0;
        }
        out.extend_from_slice(gap);
        out.extend_from_slice(text);
        column += gap.len() + text.len();
        copied = end;
        rest = after;
    }
    out.extend_from_slice(&value[copied..]);
    out
}

/// Whether a line may end between these tokens, one behind the other.
const fn is_place(one: &Token, next: &Token) -> bool {
    let behind = matches!(one.kind, Kind::Comment | Kind::Special(b'>'));
    let before = matches!(next.kind, Kind::Comment | Kind::Special(b'<'));
    // A comma stays with what it ends.
    let ends = matches!(next.kind, Kind::Special(b',' | b';'));
    one.end != next.start
        || matches!(one.kind, Kind::Special(b',' | b';'))
        || (behind || before) && !ends
}
