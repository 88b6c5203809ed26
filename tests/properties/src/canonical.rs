//! What content is once its line ends are those of mail, said without a machine: the rule that every reader of content
//! in the suite has to follow.

/// The content in lines that end in CR LF. Returns before a line end go; a run of returns and NULs anywhere else is one
/// space. A last line without an end gets one.
pub(crate) fn canonical(content: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = content.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let mut out = Vec::with_capacity(content.len() + 2);
    for line in lines {
        let junk = line.iter().rev().take_while(|byte| is_junk(**byte)).count();
        let (text, end) = line.split_at(line.len() - junk);
        let kept = if end.contains(&0) { line } else { text };
        for part in kept.chunk_by(|a, b| is_junk(*a) == is_junk(*b)) {
            out.extend_from_slice(if is_junk(part[0]) { b" " } else { part });
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The same for what goes over the wire by DATA, without its terminator: the dots that were added are taken away.
pub(crate) fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let lines = wire.split_inclusive(|byte| *byte == b'\n');
    let content: Vec<u8> = lines
        .flat_map(|line| line.strip_prefix(b".").unwrap_or(line))
        .copied()
        .collect();
    canonical(&content)
}

/// Every line ends in CR LF, and no CR, LF or NUL stands anywhere else.
pub(crate) fn assert_canonical(text: &[u8]) {
    assert!(text.is_empty() || text.ends_with(b"\r\n"));
    for (at, byte) in text.iter().enumerate() {
        let fine = match byte {
            0 => false,
            b'\r' => text.get(at + 1) == Some(&b'\n'),
            b'\n' => at > 0 && text[at - 1] == b'\r',
            _ => true,
        };
        assert!(fine, "{}", text.escape_ascii());
    }
}

const fn is_junk(byte: u8) -> bool {
    matches!(byte, b'\r' | 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_and_dots() {
        for (content, expected) in [
            (&b""[..], &b""[..]),
            (b"a\nb\r\nc\r\r\nd", b"a\r\nb\r\nc\r\nd\r\n"),
            (b"a\r\rb\0\rc\r\0\r\nd\r", b"a b c \r\nd\r\n"),
        ] {
            assert_eq!(canonical(content), expected);
            assert_canonical(expected);
        }
        assert_eq!(unstuffed(b"..a\n.\r\r\n. b"), b".a\r\n\r\n b\r\n");
    }
}
