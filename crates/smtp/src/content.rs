//! Content on its way in, by DATA or BDAT, made canonical: every line ends in CRLF.
//!
//! Only CRLF "." CRLF ends DATA, whatever the client's other line ends look like. Two servers that
//! disagree about this let a client smuggle a second message into the first (CVE-2023-51764 and its
//! kin), so LF "." LF and every other form is content, as with Postfix 3.9's
//! `smtpd_forbid_bare_newline = normalize`. A run of bare CR and NUL becomes one space, as it does in
//! what `sendmail` reads: the rule is that of [`mail::line_ends`].
//!
//! One exception: a program of this host may have no CR in its session at all. Then LF "." LF ends
//! DATA, and the first CRLF in it ends the exception.

use mail::line_ends::{LineEnds, text_length};

/// Reads content that comes in any pieces.
#[derive(Clone, Debug)]
pub(crate) struct ContentReader {
    lines: LineEnds,
    ending: Ending,
    /// The line before ended in CRLF. The DATA command counts as such a line.
    after_crlf: bool,
    /// No line so far ended in CRLF, and LF may end DATA.
    lf_ends: bool,
}

/// How far the line may be the end of DATA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Not begun, or it is not the end.
    No,
    /// It is "." so far.
    Dot,
    /// It is "." CR so far.
    DotCr,
}

impl ContentReader {
    pub(crate) const fn new() -> Self {
        Self {
            lines: LineEnds::new(),
            ending: Ending::No,
            after_crlf: true,
            lf_ends: false,
        }
    }

    /// Reads DATA of a client whose lines have all ended in a bare LF.
    pub(crate) const fn with_bare_lf() -> Self {
        Self {
            lf_ends: true,
            ..Self::new()
        }
    }

    /// Reads DATA: removes dots, looks for the end. Appends the content to `out`; gives how many
    /// bytes belong to the content, if its end was found, its terminator included.
    pub(crate) fn push_dotted(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let mut at = 0;
        while at < input.len() {
            let byte = input[at];
            match (self.ending, byte) {
                (Ending::DotCr, b'\n') if self.after_crlf => {
                    return Some(at + 1);
                }
                (Ending::Dot, b'\n') if self.lf_ends => return Some(at + 1),
                (Ending::No, b'.') if self.lines.is_start() => {
                    self.ending = Ending::Dot;
                    at += 1;
                }
                (Ending::Dot, b'\r') => {
                    self.ending = Ending::DotCr;
                    at += 1;
                }
                (ending, _) => {
                    // The dot goes; what came after it is read as the line.
                    self.ending = Ending::No;
                    if ending == Ending::DotCr {
                        self.lines.cr();
                    }
                    at += self.push_part(&input[at..], out);
                }
            }
        }
        None
    }

    /// Reads BDAT.
    pub(crate) fn push_counted(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut at = 0;
        while at < input.len() {
            at += self.push_part(&input[at..], out);
        }
    }

    /// Ends the last line if it is open, as the last BDAT may leave it.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) {
        self.lines.close(out);
    }

    /// Reads one line end, one CR or NUL, or the text up to any of them; gives how many bytes that was.
    fn push_part(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        match input[0] {
            b'\n' => {
                self.after_crlf = self.lines.lf(out);
                self.lf_ends &= !self.after_crlf;
                1
            }
            b'\r' => {
                self.lines.cr();
                1
            }
            0 => {
                self.lines.nul();
                1
            }
            _ => {
                let length = text_length(input);
                self.lines.text(&input[..length], out);
                length
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dot::DotStuffer;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(select(b"..\r\n\r\nab\0".to_vec()), 0..60)
    }

    fn read(wire: &[u8], piece: usize) -> (Vec<u8>, Option<usize>) {
        read_by(ContentReader::new(), wire, piece)
    }

    fn read_by(mut reader: ContentReader, wire: &[u8], piece: usize) -> (Vec<u8>, Option<usize>) {
        let (mut out, mut at) = (Vec::new(), 0);
        for piece in wire.chunks(piece) {
            if let Some(used) = reader.push_dotted(piece, &mut out) {
                return (out, Some(at + used));
            }
            at += piece.len();
        }
        (out, None)
    }

    fn canonical(content: &[u8]) -> Vec<u8> {
        let (mut reader, mut out) = (ContentReader::new(), Vec::new());
        reader.push_counted(content, &mut out);
        reader.close(&mut out);
        out
    }

    proptest! {
        #[test]
        fn what_is_stuffed_is_unstuffed(content in bytes(), piece in 1_usize..9) {
            let mut wire = Vec::new();
            let mut stuffer = DotStuffer::new();
            stuffer.push(&content, &mut wire);
            stuffer.finish(&mut wire);
            prop_assert_eq!(read(&wire, piece), (canonical(&content), Some(wire.len())));
        }

        #[test]
        fn the_end_is_the_first_crlf_dot_crlf(wire in bytes(), piece in 1_usize..9) {
            let framed = [b"\r\n", &wire[..]].concat();
            let end = framed.windows(5).position(|five| five == b"\r\n.\r\n");
            prop_assert_eq!(read(&wire, piece).1, end.map(|at| at + 3));
        }

        #[test]
        fn without_any_cr_the_end_is_the_first_lf_dot_lf(wire in bytes(), piece in 1_usize..9) {
            let framed = [b"\n", &wire[..]].concat();
            let lone = framed.windows(3).position(|three| three == b"\n.\n").map(|at| at + 2);
            let crlf = wire.windows(2).position(|two| two == b"\r\n");
            let end = match (lone, crlf) {
                (Some(end), Some(crlf)) if crlf < end => None,
                (end, _) => end,
            };
            let found = read_by(ContentReader::with_bare_lf(), &wire, piece);
            // A CRLF before it: the rule for every other client counts.
            prop_assert_eq!(found.1, end.or(read(&wire, piece).1));
        }

        #[test]
        fn canonical_content_stays_as_it_is(content in bytes()) {
            let once = canonical(&content);
            prop_assert_eq!(canonical(&once), once);
        }
    }
}
