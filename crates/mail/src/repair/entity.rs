//! What a header block says about the body after it: its kind and its transfer encoding.

use crate::header::{Field, HeaderBlock};

/// The longest boundary that is believed; RFC 2046 section 5.1.1 allows 70 bytes.
const BOUNDARY_LIMIT: usize = 250;

/// How much of a field's value is read.
const VALUE_LIMIT: usize = 4_096;

/// A part of a message, or the message itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entity {
    pub(super) kind: Kind,
    pub(super) encoding: Encoding,
    /// It is text, which reads better in quoted-printable.
    pub(super) text: bool,
}

/// What stands in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Parts between boundaries.
    Multipart {
        boundary: Vec<u8>,
        /// Parts without Content-Type are messages.
        digest: bool,
        /// It is a `multipart/signed` (RFC 1847).
        signed: bool,
    },
    /// A message with a header block of its own.
    Message,
    /// Anything else.
    Leaf,
}

/// The transfer encoding of a body (RFC 2045 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// The bytes as they are: 7bit, 8bit, binary, none, or one that is not known.
    Identity,
    /// Quoted-printable.
    Quoted,
    /// Base64.
    Base64,
}

/// What a part is that has no Content-Type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// `text/plain`.
    Text,
    /// `message/rfc822`, in a `multipart/digest`.
    Message,
}

impl Entity {
    /// Reads a header block.
    pub(super) fn read(block: &[u8], default: Default) -> Self {
        let block = HeaderBlock::new(block);
        let encoding = block
            .get("Content-Transfer-Encoding")
            .map_or(Encoding::Identity, Encoding::read);
        let Some(field) = block.get("Content-Type") else {
            let message = default == Default::Message;
            return Self {
                kind: if message { Kind::Message } else { Kind::Leaf },
                encoding,
                text: !message,
            };
        };
        let value = String::from_utf8_lossy(readable(field.value())).replace(['\r', '\n'], "");
        let read = mailparse::parse_content_type(value.trim());
        let (class, subtype) = read.mimetype.split_once('/').unwrap_or_default();
        let kind = match (class, subtype) {
            ("multipart", _) => multipart(subtype, read.params.get("boundary")),
            // What is encoded as a whole cannot be looked into.
            ("message", "rfc822" | "global") if encoding == Encoding::Identity => Kind::Message,
            _ => Kind::Leaf,
        };
        Self {
            kind,
            encoding,
            text: matches!(class, "text" | "message" | ""),
        }
    }
}

impl Encoding {
    fn read(field: Field<'_>) -> Self {
        let value = field.value().trim_ascii();
        let end = value
            .iter()
            .position(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b';' | b'('));
        let word = &value[..end.unwrap_or(value.len())];
        if word.eq_ignore_ascii_case(b"quoted-printable") {
            Self::Quoted
        } else if word.eq_ignore_ascii_case(b"base64") {
            Self::Base64
        } else {
            Self::Identity
        }
    }
}

fn multipart(subtype: &str, boundary: Option<&String>) -> Kind {
    match boundary.map(|boundary| boundary.trim_end()) {
        Some(boundary) if is_usable(boundary) => Kind::Multipart {
            boundary: boundary.as_bytes().to_vec(),
            digest: subtype == "digest",
            signed: subtype == "signed",
        },
        _ => Kind::Leaf,
    }
}

/// RFC 2046 allows fewer characters, but no program insists on that.
fn is_usable(boundary: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b' '..=b'~');
    (1..=BOUNDARY_LIMIT).contains(&boundary.len()) && boundary.bytes().all(fits)
}

fn readable(value: &[u8]) -> &[u8] {
    &value[..value.len().min(VALUE_LIMIT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(block: &str) -> Entity {
        Entity::read(block.as_bytes(), Default::Text)
    }

    #[test]
    fn kinds_are_told_apart() {
        let entity = read("Content-Type: Multipart/Signed;\r\n\tboundary=\"a b\"; micalg=x\r\n");
        let expected = Kind::Multipart {
            boundary: b"a b".to_vec(),
            digest: false,
            signed: true,
        };
        assert_eq!(entity.kind, expected);
        assert_eq!(read("Content-Type: multipart/mixed\r\n").kind, Kind::Leaf);
        assert_eq!(read("Content-Type: message/rfc822\r\n").kind, Kind::Message);
        let encoded = "Content-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n";
        assert_eq!(read(encoded).kind, Kind::Leaf);
        assert!(read("").text && !read("Content-Type: image/png\r\n").text);
        assert_eq!(Entity::read(b"", Default::Message).kind, Kind::Message);
    }

    #[test]
    fn encodings_are_told_apart() {
        for (value, encoding) in [
            (" Quoted-Printable\r\n", Encoding::Quoted),
            ("BASE64 (x)\r\n", Encoding::Base64),
            (" 8bit\r\n", Encoding::Identity),
            (" x-uuencode\r\n", Encoding::Identity),
        ] {
            let block = format!("Content-Transfer-Encoding:{value}");
            assert_eq!(read(&block).encoding, encoding, "{value}");
        }
    }
}
