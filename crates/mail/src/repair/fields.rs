//! A header block made fit for a channel, field by field. What is fit stays byte for byte.

use super::entity::Encoding;
use super::words::{fits, free_text, has_long_line};
use super::{LINE_LIMIT, addresses, parameters};
use crate::completion;
use crate::header::{Field, HeaderBlock};

/// New MIME fields for a body that is given another transfer encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    /// The transfer encoding.
    pub(super) encoding: Option<&'static str>,
    /// The character set to name in a Content-Type where there is none.
    pub(super) charset: Option<&'static str>,
    /// Add MIME-Version where there is none.
    pub(super) mime_version: bool,
}

/// How a field was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Only folded at blanks, which a DKIM signature with relaxed canonicalisation survives.
    Folded,
    /// Anything else.
    Rewritten,
}

/// Appends the block, fit to be sent, to `out`, and gives the names of the fields that changed.
pub(super) fn repair(
    block: &[u8],
    eight_bit: bool,
    labels: Labels,
    out: &mut Vec<u8>,
) -> Vec<(String, Change)> {
    let block = HeaderBlock::new(block);
    let mut changed = Vec::new();
    let mut label = labels.encoding;
    for field in block.fields() {
        if labels.encoding.is_some() && field.is("Content-Transfer-Encoding") {
            // A second one goes: it would contradict the first.
            if let Some(encoding) = label.take() {
                append(out, field.name(), encoding);
            }
            changed.push((field.name().to_owned(), Change::Rewritten));
        } else if let Some((text, change)) = repaired(field, eight_bit) {
            out.extend_from_slice(&text);
            changed.push((field.name().to_owned(), change));
        } else {
            out.extend_from_slice(field.raw());
        }
    }
    if labels != Labels::default() && !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    let mut add = |name: &str, value: &str| {
        append(out, name, value);
        changed.push((name.to_owned(), Change::Rewritten));
    };
    if labels.mime_version && block.get("MIME-Version").is_none() {
        add("MIME-Version", "1.0");
    }
    if let Some(charset) = labels.charset {
        add("Content-Type", &format!("text/plain; charset={charset}"));
    }
    if let Some(encoding) = label {
        add("Content-Transfer-Encoding", encoding);
    }
    changed
}

fn append(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
}

/// The field fit to be sent; `None` if it is as it is.
fn repaired(field: Field<'_>, eight_bit: bool) -> Option<(Vec<u8>, Change)> {
    let foreign = !eight_bit && !field.raw().is_ascii();
    if !foreign {
        if !has_long_line(field.raw()) {
            return None;
        }
        if let Some(folded) = folded(field.raw()) {
            return Some((folded, Change::Folded));
        }
    }
    if field.name().is_empty() {
        return Some((in_ascii(field.raw()), Change::Rewritten));
    }
    let value = field.value();
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    let better = if holds_addresses(field.name()) {
        addresses::list(value)
    } else if field.is("Content-Type") || field.is("Content-Disposition") {
        parameters::repaired(value)
    } else {
        return Some((free_text(field.name(), value), Change::Rewritten));
    };
    let text = [field.name().as_bytes(), b":", &better, b"\r\n"].concat();
    let text = if fits(&text) {
        text
    } else {
        free_text(field.name(), value)
    };
    Some((text, Change::Rewritten))
}

/// The field with line breaks before blanks where a line is too long, if that is enough.
fn folded(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 512);
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let mut rest = line;
        while rest.trim_ascii_end().len() > LINE_LIMIT {
            // Not before the name's own blanks, and not so that a line of blanks comes out.
            let is_place = |at: &usize| {
                matches!(rest[*at], b' ' | b'\t') && !rest[at + 1].is_ascii_whitespace()
            };
            let at = (1..LINE_LIMIT).rev().find(is_place)?;
            if rest[..at].trim_ascii().is_empty() {
                return None;
            }
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(b"\r\n");
            rest = &rest[at..];
        }
        out.extend_from_slice(rest);
    }
    (!has_long_line(&out)).then_some(out)
}

/// A line that is no field, which only stands at the top of mail that came from an mbox file.
fn in_ascii(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    for line in raw.trim_ascii_end().chunks(LINE_LIMIT - 100) {
        let replaced = line.iter().map(|byte| match byte {
            b' '..=b'~' => *byte,
            _ => b'?',
        });
        if !out.is_empty() {
            out.extend_from_slice(b"\r\n ");
        }
        out.extend(replaced);
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Also those that completion drops: a message inside of another is passed on with them.
fn holds_addresses(name: &str) -> bool {
    let dropped = ["Bcc", "Resent-Bcc"];
    completion::holds_addresses(name)
        || dropped.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// What the DKIM signatures of a message cover (RFC 6376 section 3.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signatures(Vec<Signature>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Signature {
    names: Vec<String>,
    /// Header fields may be folded anew.
    relaxed: bool,
}

impl Signatures {
    pub(super) fn read(block: &[u8]) -> Self {
        let fields = HeaderBlock::new(block).fields();
        let signatures = fields.filter(|field| field.is("DKIM-Signature"));
        Self(signatures.map(Signature::read).collect())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a signature no longer fits once the fields have changed so.
    pub(super) fn broken_by(&self, changed: &[(String, Change)]) -> bool {
        let breaks = |signature: &Signature, (name, change): &(String, Change)| {
            let covered = name.eq_ignore_ascii_case("DKIM-Signature")
                || signature.names.iter().any(|n| n.eq_ignore_ascii_case(name));
            covered && !(signature.relaxed && *change == Change::Folded)
        };
        let mut signatures = self.0.iter();
        signatures.any(|signature| changed.iter().any(|change| breaks(signature, change)))
    }
}

impl Signature {
    fn read(field: Field<'_>) -> Self {
        let value = String::from_utf8_lossy(field.value());
        let mut signature = Self::default();
        for tag in value.split(';') {
            let (name, value) = tag.split_once('=').unwrap_or_default();
            match name.trim() {
                "h" => {
                    let names = value.split(':');
                    signature.names = names.map(|name| name.trim().to_owned()).collect();
                }
                "c" => signature.relaxed = value.trim().starts_with("relaxed"),
                _ => {}
            }
        }
        signature
    }
}

/// The new label of a part with parts, once nothing in it has bytes above 127.
pub(super) fn relabelled(block: &[u8], encoding: Encoding) -> Labels {
    let block = HeaderBlock::new(block);
    let field = block.get("Content-Transfer-Encoding");
    let says = |field: Field<'_>| {
        let word = field.value().trim_ascii();
        word.eq_ignore_ascii_case(b"8bit") || word.eq_ignore_ascii_case(b"binary")
    };
    let stale = encoding == Encoding::Identity && field.is_some_and(says);
    Labels {
        encoding: stale.then_some("7bit"),
        ..Labels::default()
    }
}
