//! Where the content of a message ends in what the client sent, and what it is: told from the bytes alone.

use crate::canonical::{canonical, unstuffed};

/// How content that is about to come is framed.
pub(super) struct Framing {
    /// Where it begins in what was heard.
    start: usize,
    /// By BDAT: the size of the first chunk, and whether it is the last. Else by DATA.
    chunk: Option<(usize, bool)>,
}

impl Framing {
    /// The framing that the command at the end of `heard` announced.
    pub(super) fn after(heard: &[u8]) -> Self {
        let line = heard.strip_suffix(b"\n").expect("a command is a line");
        let line = line.rsplit(|byte| *byte == b'\n').next().unwrap_or(line);
        let is_data = line.trim_ascii().eq_ignore_ascii_case(b"DATA");
        let chunk = chunk(line);
        assert!(is_data != chunk.is_some(), "{}", line.escape_ascii());
        Self {
            start: heard.len(),
            chunk,
        }
    }

    /// Panics unless the content that was heard is this, and ends where `heard` ends.
    pub(super) fn check(&self, heard: &[u8], content: &[u8]) {
        let wire = &heard[self.start..];
        let (expected, length) = match self.chunk {
            Some(first) => chunks(wire, first),
            None => dotted(wire),
        };
        assert_eq!(length, wire.len(), "the end of the content");
        let shown = [content, &*expected].map(|text| text.escape_ascii().to_string());
        assert_eq!(shown[0], shown[1]);
    }
}

/// The content of DATA up to the first CR LF, dot, CR LF, and how long that is.
fn dotted(wire: &[u8]) -> (Vec<u8>, usize) {
    // The command's line counts as one that ended in CR LF.
    let framed = [b"\r\n", wire].concat();
    let end = framed.windows(5).position(|five| five == b"\r\n.\r\n");
    let end = end.expect("the content has an end");
    (unstuffed(&wire[..end]), end + 3)
}

/// The content of all chunks up to the last one, and how long that is with the commands between them.
fn chunks(wire: &[u8], first: (usize, bool)) -> (Vec<u8>, usize) {
    let (mut size, mut last) = first;
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        content.extend_from_slice(&wire[at..at + size]);
        at += size;
        if last {
            return (canonical(&content), at);
        }
        (size, last) = loop {
            let line = wire[at..].split_inclusive(|byte| *byte == b'\n').next();
            let line = line.expect("another chunk");
            at += line.len();
            if let Some(found) = chunk(line) {
                break found;
            }
        };
    }
}

/// The size of a chunk, and whether it is the last, if the line announces one.
fn chunk(line: &[u8]) -> Option<(usize, bool)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split_ascii_whitespace();
    let verb = words.next()?;
    let size = words.next()?.parse().ok()?;
    verb.eq_ignore_ascii_case("BDAT")
        .then_some((size, words.next().is_some()))
}
