//! The ledger as a text of lines, one for each gateway and limit, as it is kept on disk.

use std::fmt::{self, Write as _};
use std::time::Duration;

use mail::Timestamp;

use super::{Ledger, Row, Window};
use crate::settings::{Counted, ResetTime};

const HEAD: &str = "relayd-quota-ledger 1";
const END: &str = "end";

/// Why a text is not a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerError {
    line: usize,
    what: &'static str,
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for LedgerError {}

impl Ledger {
    /// The ledger as a text of lines, for [`Ledger::from_text`].
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for ((gateway, window, of), row) in &self.rows {
            let _ = write!(text, "{};", key_text(*window, *of));
            for (start, spent) in &row.steps {
                let _ = write!(text, "{}:{spent} ", start.as_secs());
            }
            let _ = writeln!(text, ";{gateway}");
        }
        text.push_str(END);
        text.push('\n');
        text
    }

    /// Reads what [`Ledger::to_text`] wrote.
    ///
    /// # Errors
    ///
    /// Says which line is damaged. Nothing of a damaged ledger is used.
    pub fn from_text(text: &str) -> Result<Self, LedgerError> {
        let mut lines = text.lines().zip(1..);
        let wrong = |line, what| LedgerError { line, what };
        if lines.next().is_none_or(|(head, _)| head != HEAD) {
            return Err(wrong(1, "this is not a quota ledger"));
        }
        let mut ledger = Self::default();
        for (text, line) in &mut lines {
            if text == END {
                return Ok(ledger);
            }
            let (key, row) = row(text).ok_or_else(|| wrong(line, "the line is damaged"))?;
            ledger.rows.insert(key, row);
        }
        Err(wrong(text.lines().count(), "the end is missing"))
    }
}

/// One line of the text.
fn row(text: &str) -> Option<((String, Window, Counted), Row)> {
    let (what, rest) = text.split_once(';')?;
    let (steps, gateway) = rest.split_once(';')?;
    let (window, of) = key(what)?;
    let step = |word: &str| {
        let (start, spent) = word.split_once(':')?;
        let start = Timestamp::from_secs(start.parse().ok()?);
        Some((start, spent.parse().ok()?))
    };
    let steps = steps.split_whitespace().map(step).collect::<Option<_>>()?;
    Some(((gateway.to_owned(), window, of), Row { steps }))
}

/// `messages rolling 86400`, `recipients day 420 -480`, `messages month 15 0 0`: seconds; minutes
/// after midnight and minutes ahead of UTC; the day of the month and the same.
fn key_text(window: Window, of: Counted) -> String {
    let of = match of {
        Counted::Messages => "messages",
        Counted::Recipients => "recipients",
    };
    match window {
        Window::Rolling(length) => format!("{of} rolling {}", length.as_secs()),
        Window::Day(reset) => format!("{of} day {} {}", reset.minute, reset.offset),
        Window::Month(day, reset) => format!("{of} month {day} {} {}", reset.minute, reset.offset),
    }
}

fn key(text: &str) -> Option<(Window, Counted)> {
    let words: Vec<&str> = text.split(' ').collect();
    let of = match *words.first()? {
        "messages" => Counted::Messages,
        "recipients" => Counted::Recipients,
        _ => return None,
    };
    let window = match words[1..] {
        ["rolling", length] => Window::Rolling(Duration::from_secs(length.parse().ok()?)),
        ["day", minute, offset] => Window::Day(reset(minute, offset)?),
        ["month", day, minute, offset] => {
            let day = day.parse().ok().filter(|day| (1..=28).contains(day))?;
            Window::Month(day, reset(minute, offset)?)
        }
        _ => return None,
    };
    Some((window, of))
}

fn reset(minute: &str, offset: &str) -> Option<ResetTime> {
    let (minute, offset) = (minute.parse().ok()?, offset.parse().ok()?);
    (minute < 1440 && (-720..=840).contains(&offset)).then_some(ResetTime { minute, offset })
}
