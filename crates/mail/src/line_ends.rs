//! Line ends: any mix of LF, CR LF and CR CR LF becomes CR LF.
//!
//! Callers of `sendmail` mix line ends within one message: PHP 8 writes header lines with CR LF
//! and a body with LF. As Postfix does, every CR before an LF is dropped. A CR elsewhere would be
//! a line end to some receivers and not to others (SMTP smuggling), and so would a NUL be a
//! string end: each run of either becomes one space.

/// Writes lines that end in CR LF. What comes out has no CR without LF, no LF without CR and no NUL,
/// however the input is cut into pieces. It keeps two bytes of state, whatever is fed.
#[derive(Clone, Debug)]
pub struct LineEnds {
    /// Nothing came since the last line end.
    start: bool,
    junk: Junk,
}

/// The run of CR and NUL that is held back: it is not yet known to be one space or, if it is all CR
/// and an LF follows, nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Junk {
    /// None.
    None,
    /// Carriage returns: nothing if a line end follows, else a space.
    Returns,
    /// NULs, perhaps with carriage returns among or before them, but none after: a space.
    Nuls,
    /// The same with carriage returns last: a space.
    NulsThenReturns,
}

impl LineEnds {
    /// At the beginning of a line.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            start: true,
            junk: Junk::None,
        }
    }

    /// Whether nothing, not even a CR or NUL, came since the last line end.
    #[must_use]
    pub const fn is_start(&self) -> bool {
        self.start
    }

    /// Adds bytes that hold neither CR nor LF nor NUL.
    pub fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        if self.junk != Junk::None {
            out.push(b' ');
            self.junk = Junk::None;
        }
        out.extend_from_slice(text);
        self.start = false;
    }

    /// Adds a CR.
    pub const fn cr(&mut self) {
        self.start = false;
        self.junk = match self.junk {
            Junk::None | Junk::Returns => Junk::Returns,
            Junk::Nuls | Junk::NulsThenReturns => Junk::NulsThenReturns,
        };
    }

    /// Adds a NUL.
    pub const fn nul(&mut self) {
        self.start = false;
        self.junk = Junk::Nuls;
    }

    /// Ends the line with an LF. Gives whether a CR came right before it.
    pub fn lf(&mut self, out: &mut Vec<u8>) -> bool {
        if matches!(self.junk, Junk::Nuls | Junk::NulsThenReturns) {
            out.push(b' ');
        }
        out.extend_from_slice(b"\r\n");
        let crlf = matches!(self.junk, Junk::Returns | Junk::NulsThenReturns);
        *self = Self::new();
        crlf
    }

    /// Ends a line that was begun.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if !self.start {
            self.lf(out);
        }
    }
}

impl Default for LineEnds {
    fn default() -> Self {
        Self::new()
    }
}

/// How many bytes come before the next CR, LF or NUL.
#[must_use]
pub fn text_length(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|b| matches!(b, b'\r' | b'\n' | 0))
        .unwrap_or(bytes.len())
}

/// Reads the input of `sendmail`: line ends made canonical, and an end at a lone dot if wanted.
#[derive(Clone, Debug)]
pub struct Normaliser {
    dot_terminates: bool,
    dot: Dot,
    lines: LineEnds,
}

/// How far the line may be the lone dot that ends the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dot {
    /// Not begun, or it is not.
    No,
    /// It is a dot so far.
    Alone,
    /// It is a dot and carriage returns so far.
    WithReturns,
    /// The lone dot was read.
    Ended,
}

impl Normaliser {
    /// A normaliser at the beginning of its input. With `dot_terminates` (sendmail without `-i`)
    /// a line that is a single dot ends the input, wherever it is, also in the header block and
    /// also at the very end without a line end.
    #[must_use]
    pub const fn new(dot_terminates: bool) -> Self {
        Self {
            dot_terminates,
            dot: Dot::No,
            lines: LineEnds::new(),
        }
    }

    /// Takes the next bytes and appends what they give to `out`: at most two bytes for each byte
    /// taken, and three more. Bytes after the lone dot are ignored.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while !rest.is_empty() {
            let used = match self.dot {
                Dot::Ended => return,
                Dot::No => self.line(rest, out),
                Dot::Alone | Dot::WithReturns => self.after_dot(rest[0], out),
            };
            rest = &rest[used..];
        }
    }

    /// Says that the input has ended. Completes a last line that has no line end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.dot == Dot::No {
            self.lines.close(out);
        }
        self.dot = Dot::Ended;
    }

    /// Whether the lone dot has been read. Nothing more will come out then.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.dot == Dot::Ended
    }

    /// Reads one special byte, or the text up to it; gives how many bytes that was.
    fn line(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        match input[0] {
            b'\n' => {
                self.lines.lf(out);
            }
            b'\r' => self.lines.cr(),
            0 => self.lines.nul(),
            b'.' if self.dot_terminates && self.lines.is_start() => self.dot = Dot::Alone,
            _ => {
                let length = text_length(input);
                self.lines.text(&input[..length], out);
                return length;
            }
        }
        1
    }

    /// Reads the byte after a dot at the beginning of a line; gives how many bytes were used.
    fn after_dot(&mut self, byte: u8, out: &mut Vec<u8>) -> usize {
        match byte {
            b'\n' => self.dot = Dot::Ended,
            b'\r' => self.dot = Dot::WithReturns,
            _ => {
                self.lines.text(b".", out);
                if self.dot == Dot::WithReturns {
                    self.lines.cr();
                }
                self.dot = Dot::No;
                return 0;
            }
        }
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normalised(dot_terminates: bool, pieces: &[&[u8]]) -> Vec<u8> {
        let mut normaliser = Normaliser::new(dot_terminates);
        let mut out = Vec::new();
        for piece in pieces {
            normaliser.feed(piece, &mut out);
        }
        normaliser.finish(&mut out);
        out
    }

    #[track_caller]
    fn check(dot_terminates: bool, input: &str, expected: &str) {
        let out = normalised(dot_terminates, &[input.as_bytes()]);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{input:?}");
    }

    #[test]
    fn any_mix_of_line_ends_becomes_crlf() {
        check(false, "", "");
        check(false, "a\nb\r\nc\r\r\nd", "a\r\nb\r\nc\r\nd\r\n");
        check(false, "\n\r\n\r\r\n", "\r\n\r\n\r\n");
        check(false, "a\r", "a\r\n");
        check(false, "\r", "\r\n");
    }

    #[test]
    fn a_bare_cr_or_nul_becomes_one_space() {
        check(false, "50%\r60%\r\r70%\n", "50% 60% 70%\r\n");
        check(false, "a\0b\0\0c\n", "a b c\r\n");
        check(false, "a\r\0\rb\n\r.\r\n", "a b\r\n .\r\n");
        check(false, "a\0\nb\0\r\nc\r\0", "a \r\nb \r\nc \r\n");
    }

    #[test]
    fn a_lone_dot_ends_the_input_without_i() {
        for end in [
            ".\n",
            ".\r\n",
            ".\r\r\n",
            ".",
            ".\r",
            ".\nlost\n",
            ".\r\nlost",
        ] {
            check(
                true,
                &format!("S: s\n\nbody\n{end}"),
                "S: s\r\n\r\nbody\r\n",
            );
            check(true, &format!("S: s\n{end}"), "S: s\r\n");
            check(true, end, "");
        }
        check(false, "a\n.\nb\n", "a\r\n.\r\nb\r\n");
    }

    #[test]
    fn other_dots_stay() {
        check(true, "..\n.a\na.\n. \n", "..\r\n.a\r\na.\r\n. \r\n");
        check(true, ".\ra\n.\0\nx", ". a\r\n. \r\nx\r\n");
    }

    #[test]
    fn what_follows_the_dot_is_ignored() {
        let mut normaliser = Normaliser::new(true);
        let mut out = Vec::new();
        normaliser.feed(b"a\n.", &mut out);
        assert!(!normaliser.ended());
        normaliser.feed(b"\r\nb", &mut out);
        assert!(normaliser.ended());
        normaliser.feed(b"c\n", &mut out);
        normaliser.finish(&mut out);
        assert_eq!(out, b"a\r\n");
    }

    /// Bytes of which line ends, dots and NULs are a good part.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            3 => Just(b'\n'),
            3 => Just(b'\r'),
            2 => Just(b'.'),
            1 => Just(0),
            2 => Just(b'a'),
            1 => any::<u8>(),
        ];
        proptest::collection::vec(byte, 0..60)
    }

    proptest! {
        #[test]
        fn the_cut_does_not_matter(dot: bool, input in text(), size in 1_usize..7) {
            let whole = normalised(dot, &[&input]);
            let pieces: Vec<&[u8]> = input.chunks(size).collect();
            prop_assert_eq!(normalised(dot, &pieces), whole);
        }

        #[test]
        fn only_crlf_comes_out(dot: bool, input in text()) {
            let out = normalised(dot, &[&input]);
            prop_assert!(out.is_empty() || out.ends_with(b"\r\n"));
            for (at, byte) in out.iter().enumerate() {
                prop_assert!(*byte != 0);
                prop_assert!(*byte != b'\r' || out.get(at + 1) == Some(&b'\n'));
                prop_assert!(*byte != b'\n' || at > 0 && out[at - 1] == b'\r');
            }
            prop_assert!(!dot || !out.starts_with(b".\r\n"));
            prop_assert_eq!(normalised(dot, &[&out]), out);
        }

        #[test]
        fn lines_survive(lines in proptest::collection::vec("[ -~]{0,9}", 0..9)) {
            let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let expected: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            prop_assert_eq!(normalised(false, &[input.as_bytes()]), expected.into_bytes());
        }
    }
}
