//! How a program ends when it cannot do what it was asked for: a status and one line.

use std::fmt;
use std::io::Write;

use policy::sysexits::ExitStatus;

/// The one way for these programs to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit status.
    pub status: ExitStatus,
    /// One line for the user, without a program name or a line end.
    pub text: String,
    /// The program to name before it, where that is not the one that was called: Postfix's
    /// `sendmail -bp` runs `postqueue`, and callers see that name.
    pub program: Option<&'static str>,
}

impl Failure {
    /// A failure with a status and a text, in which control characters become `?`.
    #[must_use]
    pub fn new(status: ExitStatus, text: impl AsRef<str>) -> Self {
        Self {
            status,
            text: printable(&in_words(text.as_ref()), 1_000),
            program: None,
        }
    }

    /// A command line that cannot be understood: status 64.
    #[must_use]
    pub fn usage(text: impl AsRef<str>) -> Self {
        Self::new(ExitStatus::Usage, text)
    }

    /// The same failure in another program's name.
    #[must_use]
    pub fn of(mut self, program: &'static str) -> Self {
        self.program = Some(program);
        self
    }

    /// Writes `PROGRAM: fatal: TEXT` to standard error, as far as it can be written.
    pub fn report(&self, program: &str) {
        let line = format!("{program}: fatal: {}\n", self.text);
        // There is nobody left to tell if this fails.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

/// `text` without the error numbers that the standard library puts after the system's words, as in
/// `No such file or directory (os error 2)`; Postfix has the words alone.
#[must_use]
pub fn in_words(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        match part[digits..].strip_prefix(')') {
            Some(rest) if digits > 0 => words.push_str(rest),
            _ => words.extend([" (os error ", part]),
        }
    }
    words
}

/// `text` with control characters as `?`, cut after `longest` bytes.
#[must_use]
pub fn printable(text: &str, longest: usize) -> String {
    let kept = &text[..text.floor_char_boundary(longest)];
    let mut shown = kept.replace(char::is_control, "?");
    if kept.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_printable_line() {
        let failure = Failure::usage("bad\r\n\u{1b}[31mthing");
        assert_eq!(failure.text, "bad???[31mthing");
        assert_eq!(printable("äöü", 3), "ä...");
    }

    #[test]
    fn error_numbers_are_left_out() {
        let failure = Failure::usage("a: gone (os error 2); b: (os error x) (os error 13)");
        assert_eq!(failure.text, "a: gone; b: (os error x)");
    }
}
