//! Which messages an admin's command is for.

use std::fmt;

use super::is_queue_name;

/// Some of the messages in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// `ALL`.
    All,
    /// `ID id`.
    Id(String),
    /// `SENDER address`, `<>` for the null sender; letters of either case.
    Sender(String),
    /// `RECIPIENT address`: one that is not done; letters of either case.
    Recipient(String),
    /// `ORIGIN who`: as [`crate::budget::account`] names it, such as `uid 33`.
    Origin(String),
}

impl Selection {
    /// Reads the argument of a request; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (word, value) = text.split_once(' ').unwrap_or((text, ""));
        let named = || (!value.trim().is_empty()).then(|| value.to_owned());
        match word {
            "ALL" if text == "ALL" => Some(Self::All),
            "ID" => named().filter(|id| is_queue_name(id)).map(Self::Id),
            "SENDER" => named().map(Self::Sender),
            "RECIPIENT" => named().map(Self::Recipient),
            "ORIGIN" => named().map(Self::Origin),
            _ => None,
        }
    }
}

impl fmt::Display for Selection {
    /// As [`Selection::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("ALL"),
            Self::Id(id) => write!(f, "ID {id}"),
            Self::Sender(address) => write!(f, "SENDER {address}"),
            Self::Recipient(address) => write!(f, "RECIPIENT {address}"),
            Self::Origin(who) => write!(f, "ORIGIN {who}"),
        }
    }
}
