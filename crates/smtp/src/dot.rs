//! Content on its way into DATA: dots doubled at the start of lines (RFC 5321 section 4.5.2), and the
//! terminator.
//!
//! Whatever the content holds, the only CRLF "." CRLF that comes out is the terminator: line ends
//! are made canonical before dots are looked at (lettre missed that: RUSTSEC-2026-0561), and no NUL goes
//! out, which a receiver that drops NULs might find between CRLF and ".".

use mail::line_ends::{LineEnds, text_length};

/// Dot-stuffs content that comes in any pieces.
#[derive(Clone, Debug)]
pub struct DotStuffer {
    lines: LineEnds,
}

impl DotStuffer {
    /// At the start of a message.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            lines: LineEnds::new(),
        }
    }

    /// Appends to `out` what goes over the wire for the next piece of content.
    pub fn push(&mut self, content: &[u8], out: &mut Vec<u8>) {
        out.reserve(content.len() + 2);
        let mut rest = content;
        while let Some(&first) = rest.first() {
            match first {
                b'\n' => {
                    self.lines.lf(out);
                    rest = &rest[1..];
                }
                b'\r' => {
                    self.lines.cr();
                    rest = &rest[1..];
                }
                0 => {
                    self.lines.nul();
                    rest = &rest[1..];
                }
                _ => {
                    if first == b'.' && self.lines.is_start() {
                        out.push(b'.');
                    }
                    let length = text_length(rest);
                    self.lines.text(&rest[..length], out);
                    rest = &rest[length..];
                }
            }
        }
    }

    /// Appends the terminator, ending the last line first if it is open.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.lines.close(out);
        out.extend_from_slice(b".\r\n");
    }
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self::new()
    }
}
