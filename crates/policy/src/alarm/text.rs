//! [`Alarms`] as a text of lines, as it is kept on disk.

use super::episodes::{Alarms, Episode, Notice, NoticeKind};
use mail::Timestamp;
use std::fmt::{self, Write as _};
use std::time::Duration;

const HEAD: &str = "relayd-alarms 1";
const END: &str = "end";

/// Why a text is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    line: usize,
    what: &'static str,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for TextError {}

const KINDS: [(&str, NoticeKind); 5] = [
    ("raised", NoticeKind::Raised),
    ("changed", NoticeKind::Changed),
    ("reminder", NoticeKind::Reminder),
    ("over", NoticeKind::Over),
    ("well", NoticeKind::Well),
];

impl Alarms {
    /// The text, for [`Alarms::from_text`]. Times are in microseconds.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{HEAD}\nstate\t{}\t{}\t{}\t{}\n",
            self.number,
            self.failures,
            self.retry_at.as_micros(),
            self.well.as_micros()
        );
        for (cause, episode) in &self.episodes {
            let _ = writeln!(
                text,
                "episode\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
                episode.since.as_micros(),
                episode.told.as_micros(),
                episode.reminders,
                episode.most_waiting,
                episode
                    .gone
                    .map_or("-".to_owned(), |at| at.as_micros().to_string()),
                escaped(&episode.kinds.join(",")),
                escaped(cause),
                escaped(&episode.what),
                escaped(&episode.remedy),
            );
        }
        for notice in &self.untold {
            let kind = KINDS.iter().find(|(_, kind)| *kind == notice.kind);
            let _ = writeln!(
                text,
                "notice\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
                notice.number,
                kind.map_or("", |(word, _)| word),
                notice.at.as_micros(),
                notice.lasting.as_micros(),
                notice.waiting,
                notice.most_waiting,
                escaped(&notice.cause),
                escaped(&notice.what),
                escaped(&notice.remedy),
            );
        }
        text.push_str(END);
        text.push('\n');
        text
    }

    /// Reads what [`Alarms::to_text`] wrote.
    ///
    /// # Errors
    /// Says which line is damaged. Nothing of a damaged text is used.
    pub fn from_text(text: &str) -> Result<Self, TextError> {
        let wrong = |line, what| TextError { line, what };
        let mut lines = text.lines().zip(1..);
        if lines.next().is_none_or(|(head, _)| head != HEAD) {
            return Err(wrong(1, "these are not relayd's alarms"));
        }
        let mut alarms = Self::default();
        for (text, line) in &mut lines {
            if text == END {
                return Ok(alarms);
            }
            alarms
                .take(text)
                .ok_or_else(|| wrong(line, "the line is damaged"))?;
        }
        Err(wrong(text.lines().count(), "the end is missing"))
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split('\t').collect();
        match words[..] {
            ["state", number, failures, retry_at, well] => {
                self.number = number.parse().ok()?;
                self.failures = failures.parse().ok()?;
                (self.retry_at, self.well) = (time(retry_at)?, time(well)?);
            }
            [
                "episode",
                since,
                told,
                reminders,
                most,
                gone,
                kinds,
                cause,
                what,
                remedy,
            ] => {
                let kinds = plain(kinds)?;
                let episode = Episode {
                    since: time(since)?,
                    told: time(told)?,
                    reminders: reminders.parse().ok()?,
                    kinds: kinds.split(',').map(str::to_owned).collect(),
                    what: plain(what)?,
                    remedy: plain(remedy)?,
                    most_waiting: most.parse().ok()?,
                    gone: match gone {
                        "-" => None,
                        at => Some(time(at)?),
                    },
                };
                self.episodes.insert(plain(cause)?, episode);
            }
            [
                "notice",
                number,
                kind,
                at,
                lasting,
                waiting,
                most,
                cause,
                what,
                remedy,
            ] => {
                let (_, kind) = KINDS.iter().find(|(word, _)| *word == kind)?;
                self.untold.push_back(Notice {
                    number: number.parse().ok()?,
                    cause: plain(cause)?,
                    kind: *kind,
                    at: time(at)?,
                    lasting: Duration::from_micros(lasting.parse().ok()?),
                    what: plain(what)?,
                    remedy: plain(remedy)?,
                    waiting: waiting.parse().ok()?,
                    most_waiting: most.parse().ok()?,
                });
            }
            _ => return None,
        }
        Some(())
    }
}

fn time(word: &str) -> Option<Timestamp> {
    word.parse().ok().map(Timestamp::from_micros)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}

fn plain(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        plain.push(match c {
            '\\' => match rest.next()? {
                '\\' => '\\',
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}
