//! Parameters of Content-Type and Content-Disposition in ASCII (RFC 2231).

use super::words::{WORD_LIMIT, readable};

/// How much of an encoded value stands on one line.
const PIECE: usize = 60;

/// The value of a field with parameters in ASCII, each long or foreign one on lines of its own.
/// `value` is without its last line end.
pub(super) fn repaired(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 2);
    let mut column = WORD_LIMIT / 2;
    for (at, item) in split(value).into_iter().enumerate() {
        if at > 0 {
            out.push(b';');
        }
        match named(item) {
            Some((name, text)) if at > 0 && is_foreign(item) => {
                out.extend_from_slice(&encoded(name, text));
                column = PIECE;
            }
            _ => {
                if at > 0 && column + item.len() > WORD_LIMIT {
                    out.extend_from_slice(b"\r\n ");
                    column = 0;
                }
                out.extend_from_slice(item);
                column += item.len();
            }
        }
    }
    out
}

fn is_foreign(item: &[u8]) -> bool {
    !item.is_ascii() || item.len() > WORD_LIMIT
}

/// Cuts at semicolons outside quotes.
fn split(value: &[u8]) -> Vec<&[u8]> {
    let mut items = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                items.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&value[start..]);
    items
}

/// The name of a parameter and its value, if the name can be given a star.
fn named(item: &[u8]) -> Option<(&str, &[u8])> {
    let at = item.iter().position(|byte| *byte == b'=')?;
    let name = std::str::from_utf8(item[..at].trim_ascii()).ok()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fine = !name.is_empty() && name.len() <= PIECE && name.bytes().all(fits);
    fine.then(|| (name, item[at + 1..].trim_ascii()))
}

/// `name*=utf-8''…`, or `name*0*=`, `name*1*=` and so on, each on a line.
fn encoded(name: &str, value: &[u8]) -> Vec<u8> {
    let text = unquoted(value);
    let mut pieces = vec![String::new()];
    for character in readable(&text).chars() {
        let code = percent(character);
        match pieces.last_mut() {
            Some(piece) if piece.len() + code.len() <= PIECE => piece.push_str(&code),
            _ => pieces.push(code),
        }
    }
    if let [piece] = &*pieces {
        return format!("\r\n\t{name}*=utf-8''{piece}").into_bytes();
    }
    let line = |(at, piece): (usize, &String)| {
        let charset = if at == 0 { "utf-8''" } else { "" };
        format!("\r\n\t{name}*{at}*={charset}{piece}")
    };
    let lines: Vec<_> = pieces.iter().enumerate().map(line).collect();
    lines.join(";").into_bytes()
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let inner = value.strip_prefix(b"\"");
    let Some(inner) = inner.and_then(|inner| inner.strip_suffix(b"\"")) else {
        return value.to_vec();
    };
    let mut text = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for &byte in inner {
        escaped = byte == b'\\' && !escaped;
        if !escaped && !matches!(byte, b'\r' | b'\n') {
            text.push(byte);
        }
    }
    text
}

fn percent(character: char) -> String {
    if character.is_ascii_alphanumeric() || "-._~".contains(character) {
        return character.to_string();
    }
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).bytes();
    bytes.map(|byte| format!("%{byte:02X}")).collect()
}
