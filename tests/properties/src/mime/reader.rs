//! A reader of MIME (RFC 2045, RFC 2046) of its own, for messages in which every part is well-formed. It shares nothing
//! with the one that is judged.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// A part of a message, or the message itself.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) fields: Vec<Field>,
    pub(super) body: Body,
}

/// What stands in a part.
#[derive(Debug)]
pub(super) enum Body {
    /// Bytes as they are in the message.
    Leaf(Vec<u8>),
    Message(Box<Part>),
    Parts(Vec<Part>),
}

/// A header field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// Everything after the colon up to the line end, folded.
    pub(super) value: Vec<u8>,
}

impl Field {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value unfolded, UTF-8 or else Latin-1.
    pub(super) fn text(&self) -> String {
        let text = match std::str::from_utf8(&self.value) {
            Ok(text) => text.to_owned(),
            Err(_) => self.value.iter().map(|byte| char::from(*byte)).collect(),
        };
        text.replace("\r\n", "")
    }

    /// The value with encoded words decoded.
    pub(super) fn decoded(&self) -> String {
        let text = format!("X:{}", self.text());
        let parsed = mailparse::parse_header(text.as_bytes());
        parsed.map_or_else(|_| self.text(), |(header, _)| header.get_value())
    }
}

impl Part {
    pub(super) fn get(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.is(name))
    }

    /// The transfer encoding in lower case.
    pub(super) fn encoding(&self) -> String {
        let field = self.get("Content-Transfer-Encoding");
        field.map_or_else(String::new, |field| {
            field.text().trim().to_ascii_lowercase()
        })
    }
}

/// Reads a message.
pub(super) fn read(message: &[u8]) -> Part {
    part(message, false)
}

fn part(text: &[u8], is_message: bool) -> Part {
    let (fields, body) = split(text);
    let kind = fields.iter().find(|field| field.is("Content-Type"));
    let kind = kind.map(Field::text);
    let (class, rest) = match &kind {
        Some(kind) => kind.trim().split_once(';').unwrap_or((kind.trim(), "")),
        None if is_message => ("message/rfc822", ""),
        None => ("text/plain", ""),
    };
    let body = match class.to_ascii_lowercase().as_str() {
        "message/rfc822" => Body::Message(Box::new(part(body, false))),
        class if class.starts_with("multipart/") => {
            let boundary = rest.trim().strip_prefix("boundary=").expect("a boundary");
            Body::Parts(parts(
                body,
                boundary.trim_matches('"'),
                class == "multipart/digest",
            ))
        }
        _ => Body::Leaf(body.to_vec()),
    };
    Part { fields, body }
}

/// The fields up to the empty line, and what follows it.
fn split(text: &[u8]) -> (Vec<Field>, &[u8]) {
    let mut fields: Vec<Field> = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n");
        let end = end.unwrap_or_else(|| panic!("no empty line: {}", text.escape_ascii()));
        let (line, after) = (&rest[..end], &rest[end + 2..]);
        rest = after;
        if line.is_empty() {
            return (fields, rest);
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            let field = fields.last_mut().expect("a field to be continued");
            field.value.extend_from_slice(b"\r\n");
            field.value.extend_from_slice(line);
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').expect("a field");
        fields.push(Field {
            name: String::from_utf8_lossy(&line[..colon]).into_owned(),
            value: line[colon + 1..].to_vec(),
        });
    }
}

fn parts(body: &[u8], boundary: &str, digest: bool) -> Vec<Part> {
    let (between, last) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        match line.trim_ascii_end() {
            end if end == last.as_bytes() => break,
            next if next == between.as_bytes() => texts.push(Vec::new()),
            _ => {
                if let Some(text) = texts.last_mut() {
                    text.extend_from_slice(line);
                }
            }
        }
    }
    let whole = |text: &Vec<u8>| {
        let text = text.strip_suffix(b"\r\n").expect("a boundary is a line");
        part(text, digest)
    };
    texts.iter().map(whole).collect()
}

/// What base64 says; what is not of its alphabet means nothing.
pub(super) fn from_base64(body: &[u8]) -> Vec<u8> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let engine = GeneralPurpose::new(&STANDARD, config);
    let is_code = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let code: Vec<u8> = body.iter().filter(is_code).copied().collect();
    // What cannot be decoded is compared as it is.
    engine.decode(&code).unwrap_or(code)
}

/// What quoted-printable says; blanks at the end of a line and `=` before anything but two digits or a line end are as
/// most readers take them.
pub(super) fn from_quoted(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        let ended = text.len() < line.len();
        let text = if ended { trimmed(text) } else { text };
        let soft = ended && text.ends_with(b"=");
        let text = if soft { &text[..text.len() - 1] } else { text };
        unescape(text, &mut out);
        if ended && !soft {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

fn trimmed(line: &[u8]) -> &[u8] {
    let blanks = line.iter().rev().take_while(|byte| b" \t".contains(byte));
    &line[..line.len() - blanks.count()]
}

fn unescape(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some((first, rest)) = text.split_first() {
        let code = rest.get(..2).filter(|_| *first == b'=');
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let byte = code.and_then(|code| u8::try_from(digit(code[0])? << 4 | digit(code[1])?).ok());
        out.push(byte.unwrap_or(*first));
        text = if byte.is_some() { &rest[2..] } else { rest };
    }
}
