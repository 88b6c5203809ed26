//! The lines of an alias file: comments dropped, continuations joined, each byte's line remembered.

use super::MOST_PROBLEMS;
use crate::settings::Problem;

/// A longer line, continuations included, is cut; in bytes.
const LONGEST: usize = 256 * 1024;

/// One line with its continuations.
#[derive(Debug, Default)]
pub(super) struct Logical {
    pub(super) text: String,
    /// Where each physical line begins in `text`, and its number.
    starts: Vec<(usize, usize)>,
}

impl Logical {
    /// The number of the physical line that holds the byte at `offset`.
    pub(super) fn line_at(&self, offset: usize) -> usize {
        let index = self.starts.partition_point(|(start, _)| *start <= offset);
        self.starts
            .get(index.saturating_sub(1))
            .map_or(0, |(_, line)| *line)
    }

    fn append(&mut self, number: usize, text: &str) {
        self.starts.push((self.text.len(), number));
        self.text.push_str(text);
        // A word must not grow together with the first one of the next line.
        self.text.push(' ');
    }
}

/// What is wrong with physical lines, beside the lines that are in order.
pub(super) struct Lines {
    pub(super) logical: Vec<Logical>,
    pub(super) problems: Vec<Problem>,
}

/// Cuts a file into its lines. Where `continues` is false, each line stands alone, as in an
/// `:include:` file.
pub(super) fn lines(text: &[u8], file: &str, continues: bool) -> Lines {
    let mut cutter = Cutter {
        file,
        continues,
        found: Lines {
            logical: Vec::new(),
            problems: Vec::new(),
        },
        skipping: false,
    };
    for (index, raw) in text.split(|byte| *byte == b'\n').enumerate() {
        cutter.line(index + 1, raw.strip_suffix(b"\r").unwrap_or(raw));
    }
    cutter.found
}

struct Cutter<'a> {
    file: &'a str,
    continues: bool,
    found: Lines,
    /// Set while the continuations of a line that was refused go by.
    skipping: bool,
}

impl Cutter<'_> {
    fn complain(&mut self, line: usize, message: &str, remedy: &str) {
        if self.found.problems.len() < MOST_PROBLEMS {
            self.found.problems.push(Problem {
                file: self.file.to_owned(),
                line,
                message: message.to_owned(),
                remedy: remedy.to_owned(),
            });
        }
    }

    fn line(&mut self, number: usize, raw: &[u8]) {
        let words = raw.trim_ascii();
        if words.is_empty() || words.starts_with(b"#") {
            return;
        }
        let is_continuation = self.continues && raw.first().is_some_and(|b| b" \t".contains(b));
        if !is_continuation {
            self.skipping = false;
        }
        let Some(text) = self.readable(number, words) else {
            self.skipping |= !is_continuation;
            return;
        };
        if !is_continuation {
            self.found.logical.push(Logical::default());
        } else if self.skipping {
            return;
        }
        match self.found.logical.last_mut() {
            None => self.complain(
                number,
                "the first line begins with a blank, so it continues nothing",
                "remove the blank",
            ),
            Some(logical) if logical.text.len() + text.len() > LONGEST => self.complain(
                number,
                "the alias is longer than 256 KiB; this line is left out",
                "put the addresses into a file and write :include: with its name",
            ),
            Some(logical) => logical.append(number, &text),
        }
    }

    /// The line as text without a comment at its end; `None` after a complaint.
    fn readable(&mut self, number: usize, line: &[u8]) -> Option<String> {
        let Ok(text) = std::str::from_utf8(line) else {
            self.complain(number, "the line is not UTF-8 text", "save it as UTF-8");
            return None;
        };
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        if text.chars().any(|c| c.is_control() && c != '\t') {
            self.complain(
                number,
                "the line holds a control character",
                "remove it; an editor that shows control characters helps to find it",
            );
            return None;
        }
        let Some(comment) = comment_start(text) else {
            return Some(text.to_owned());
        };
        self.complain(
            number,
            "a comment follows on the same line, which other mail systems take for addresses",
            "put the comment on a line of its own",
        );
        Some(text[..comment].to_owned())
    }
}

/// Where a `#` begins a word outside quotes.
fn comment_start(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped, mut after_blank) = (false, false, true);
    for (at, c) in text.char_indices() {
        if c == '#' && after_blank && !quoted && !escaped {
            return Some(at);
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        after_blank = matches!(c, ' ' | '\t');
    }
    None
}
