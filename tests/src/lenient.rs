//! The most lenient of receivers: what it makes of the bytes behind DATA's 354. Where it finds two messages in what a
//! strict sender took for one, mail can be smuggled.

/// What a receiver forgives that it should not. All at once is worse than any receiver known.
const fn is_dropped(byte: u8) -> bool {
    byte == 0
}

const fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// How many messages such a receiver finds: it drops NULs, takes CR, LF and CRLF for line ends, ends content at a line
/// with a dot alone, and reads what follows as commands.
pub fn messages(wire: &[u8]) -> usize {
    let kept: Vec<u8> = wire.iter().copied().filter(|&b| !is_dropped(b)).collect();
    let mut lines = kept
        .split(|&b| ends_line(b))
        .filter(|line| !line.is_empty());
    let (mut found, mut in_content) = (0, true);
    // Behind content come commands; one that begins content again is enough, whatever the others say.
    for line in &mut lines {
        if in_content && line == b"." {
            found += 1;
            in_content = false;
        } else if !in_content && line.eq_ignore_ascii_case(b"DATA") {
            in_content = true;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_smuggled() {
        for end in [
            "\n.\n",
            "\r.\r",
            "\r\n.\n",
            "\n.\r\n",
            "\r\n\0.\r\n",
            "\r\n.\0\r\n",
        ] {
            let wire = format!("hi{end}MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nevil\r\n.\r\n");
            assert_eq!(messages(wire.as_bytes()), 2, "{end:?}");
        }
        for middle in ["\r\n..\r\n", "\r\n .\r\n", " . ", "."] {
            let wire = format!("hi{middle}MAIL FROM:<a@b>\r\nDATA\r\nevil\r\n.\r\n");
            assert_eq!(messages(wire.as_bytes()), 1, "{middle:?}");
        }
    }
}
