//! Line ends: any mix of LF, CR LF and CR CR LF becomes CR LF.
//!
//! Callers of `sendmail` mix line ends within one message: PHP 8 writes header lines with CR LF
//! and a body with LF. As Postfix does, every CR before an LF is dropped. A CR elsewhere would be
//! a line end to some receivers and not to others (SMTP smuggling), and so would a NUL be a
//! string end: each run of either becomes one space.

/// Turns a stream into lines that end in CR LF, however the stream is cut into pieces.
///
/// What comes out has no CR without LF, no LF without CR and no NUL, and is empty or ends in
/// CR LF. It keeps a few bytes of state, whatever is fed.
#[derive(Clone, Debug)]
pub struct Normaliser {
    dot_terminates: bool,
    state: State,
}

/// Where the input stands. `junk` means a run of CR or NUL that is not yet known to be one space
/// or, if it is all CR and an LF follows, nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the beginning of a line.
    Start,
    /// The line so far is a single dot which may end the input.
    Dot { junk: Junk },
    /// Within a line.
    Line { junk: Junk },
    /// The lone dot was read.
    Ended,
}

/// The run that is held back.
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

impl Normaliser {
    /// A normaliser at the beginning of its input. With `dot_terminates` (sendmail without `-i`)
    /// a line that is a single dot ends the input, wherever it is, also in the header block and
    /// also at the very end without a line end.
    #[must_use]
    pub const fn new(dot_terminates: bool) -> Self {
        Self {
            dot_terminates,
            state: State::Start,
        }
    }

    /// Takes the next bytes and appends what they give to `out`: at most two bytes for each byte
    /// taken, and three more. Bytes after the lone dot are ignored.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while let Some((&first, after)) = rest.split_first() {
            if self.state == (State::Line { junk: Junk::None }) {
                let plain = rest
                    .iter()
                    .position(|b| is_special(*b))
                    .unwrap_or(rest.len());
                out.extend_from_slice(&rest[..plain]);
                rest = &rest[plain..];
                if plain > 0 {
                    continue;
                }
            }
            if self.state == State::Ended {
                return;
            }
            self.step(first, out);
            rest = after;
        }
    }

    /// Says that the input has ended. Completes a last line that has no line end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !matches!(self.state, State::Start | State::Ended) {
            self.step(b'\n', out);
        }
    }

    /// Whether the lone dot has been read. Nothing more will come out then.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.state = match (self.state, byte) {
            (State::Ended, _)
            | (
                State::Dot {
                    junk: Junk::None | Junk::Returns,
                },
                b'\n',
            ) => State::Ended,
            (State::Start, b'.') if self.dot_terminates => State::Dot { junk: Junk::None },
            (State::Start, _) => continue_line(Junk::None, byte, out),
            (State::Dot { junk }, b'\r' | 0) => State::Dot {
                junk: junk.and(byte),
            },
            (State::Dot { junk }, _) => {
                out.push(b'.');
                continue_line(junk, byte, out)
            }
            (State::Line { junk }, _) => continue_line(junk, byte, out),
        };
    }
}

fn continue_line(junk: Junk, byte: u8, out: &mut Vec<u8>) -> State {
    match byte {
        b'\r' | 0 => {
            return State::Line {
                junk: junk.and(byte),
            };
        }
        b'\n' => {
            if matches!(junk, Junk::Nuls | Junk::NulsThenReturns) {
                out.push(b' ');
            }
            out.extend_from_slice(b"\r\n");
            return State::Start;
        }
        _ if junk != Junk::None => out.push(b' '),
        _ => {}
    }
    out.push(byte);
    State::Line { junk: Junk::None }
}

impl Junk {
    fn and(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::None | Self::Returns, b'\r') => Self::Returns,
            (_, b'\r') => Self::NulsThenReturns,
            _ => Self::Nuls,
        }
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
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
