//! Making text safe for where it goes: a log line, a terminal, a manual page.

/// `text` with every character that could steer a terminal or forge a line replaced by `?`.
///
/// Printable ASCII and other printable characters are kept. Control characters go, and so do the
/// separators and direction marks of Unicode that make a line read differently than it is stored.
#[must_use]
pub fn text(text: &str) -> String {
    text.chars().map(safe).collect()
}

/// The same for bytes; each byte that is not part of valid UTF-8 becomes `?`.
#[must_use]
pub fn bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.extend(chunk.valid().chars().map(safe));
        shown.extend(chunk.invalid().iter().map(|_| '?'));
    }
    shown
}

/// The same for text, cut to at most `most` characters; what was cut ends in `...`.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    let mut rest = text.chars();
    let mut shown: String = rest.by_ref().take(most).map(safe).collect();
    if rest.next().is_some() {
        let keep = shown.char_indices().rev().nth(2).map_or(0, |(at, _)| at);
        shown.truncate(keep);
        shown.push_str("...");
    }
    shown
}

/// Text with what roff would take for a command made harmless.
pub(crate) fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) {
        format!("\\&{escaped}")
    } else {
        escaped
    }
}

fn safe(c: char) -> char {
    let hidden = matches!(c, '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{2069}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}');
    if c.is_control() || hidden { '?' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_can_be_read_and_nothing_else() {
        assert_eq!(
            text("a\r\nb\t\x1b[31mc\x7f\u{85}d\u{202e}é"),
            "a??b??[31mc??d?é"
        );
        assert_eq!(bytes(b"caf\xc3\xa9 \xff\xfe\xc3"), "café ???");
    }

    #[test]
    fn cuts_at_characters() {
        assert_eq!(shortened("ééééé", 5), "ééééé");
        assert_eq!(shortened("éééééé", 5), "éé...");
        assert_eq!(shortened("abcd", 2), "...");
    }
}
