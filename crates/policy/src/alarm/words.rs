//! Spans of time in words, and the texts of notices.

use super::episodes::{Notice, NoticeKind};
use super::findings::Finding;
use std::fmt::Write as _;
use std::time::Duration;

/// A span of time in its two largest units: `2 d 3 h`, `5 min 10 s`, `12 s`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = units
        .iter()
        .position(|(number, _)| *number > 0)
        .unwrap_or(3);
    let shown = units[first..].iter().take(2);
    let words: Vec<String> = shown
        .enumerate()
        .filter(|(place, (number, _))| *place == 0 || *number > 0)
        .map(|(_, (number, unit))| format!("{number} {unit}"))
        .collect();
    words.join(" ")
}

impl Notice {
    /// The subject of its letter, without the host's name.
    #[must_use]
    pub fn subject(&self) -> String {
        let what = &self.what;
        match self.kind {
            NoticeKind::Raised => format!("ALARM: {what}"),
            NoticeKind::Changed => format!("ALARM, changed: {what}"),
            NoticeKind::Reminder => format!("Still: {what}"),
            NoticeKind::Over => format!("Over: {}", self.cause),
            NoticeKind::Well => "All is well".to_owned(),
        }
    }

    /// The text of its letter.
    #[must_use]
    pub fn body(&self, host: &str) -> String {
        let mut text = format!("relayd on {host}\n\n");
        let mut add = |line: std::fmt::Arguments<'_>| {
            let _ = writeln!(text, "{line}");
        };
        let lasting = span(self.lasting);
        match self.kind {
            NoticeKind::Well => {
                add(format_args!("{}", self.what));
                return text;
            }
            NoticeKind::Over => {
                add(format_args!(
                    "It is over: {}.\nIt lasted {lasting}.",
                    self.what
                ));
                add(format_args!(
                    "At most {} waited; {} of them have gone out since. In the queue now: {}.",
                    messages(self.most_waiting),
                    self.most_waiting.saturating_sub(self.waiting),
                    messages(self.waiting),
                ));
            }
            NoticeKind::Raised | NoticeKind::Changed | NoticeKind::Reminder => {
                add(format_args!("{}.\n\n{}\n", self.what, self.remedy));
                if self.lasting.as_secs() > 0 {
                    add(format_args!("It lasts for {lasting} by now."));
                }
                add(format_args!(
                    "In the queue now: {}. You are told again when it is over, and reminded \
                     meanwhile at growing intervals.",
                    messages(self.waiting)
                ));
            }
        }
        text
    }
}

fn messages(number: u64) -> String {
    match number {
        1 => "1 message".to_owned(),
        number => format!("{number} messages"),
    }
}

impl Finding {
    /// The finding as one line of text.
    #[must_use]
    pub fn line(&self) -> String {
        let word = match self.grade {
            super::Grade::Warning => "WARNING",
            super::Grade::Critical => "CRITICAL",
        };
        format!("{word}: {}", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_661, "1 h 1 min"),
            (3_605, "1 h"),
            (200_000, "2 d 7 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), words);
        }
    }
}
