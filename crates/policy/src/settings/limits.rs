//! What a gateway allows, and what happens beyond that: the values of `rate`, `quota` and their
//! neighbours in `[gateway NAME]`.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// What a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// Messages, however many recipients they have.
    #[default]
    Messages,
    /// Recipients: a message for three counts three times.
    Recipients,
}

/// `rate`: how fast mail may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub amount: NonZeroU32,
    /// Of what.
    pub of: Counted,
    /// In which time: a second, a minute or an hour.
    pub per: Duration,
}

/// The time for which a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// A day, from [`Quota::reset`] to the next.
    Day,
    /// A month, from [`Quota::month_from`] to the same day of the next.
    Month,
    /// The last so many hours, at any moment.
    Last(Duration),
}

/// One limit of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLimit {
    /// How many; at least 1.
    pub amount: u64,
    /// Of what.
    pub of: Counted,
    /// In which time.
    pub per: Period,
}

/// A time of day with its distance from UTC, as a provider renews a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResetTime {
    /// Minutes after midnight, 0 to 1439, on a clock that is `offset` ahead of UTC.
    pub minute: u16,
    /// Minutes ahead of UTC, -720 to 840.
    pub offset: i16,
}

/// `quota` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// `quota`: every one of these holds. Empty: there is no quota.
    pub limits: Vec<QuotaLimit>,
    /// `quota_from`: the day of the month on which a month begins, 1 to 28.
    pub month_from: u8,
    /// `quota_reset`: when a day begins.
    pub reset: ResetTime,
    /// `reserve`: how much of it is kept for urgent mail, in percent, 0 to 90.
    pub reserve: u8,
    /// `overflow`: what happens to mail beyond it.
    pub overflow: Overflow,
}

impl Default for Quota {
    /// None; months from the first, days from 00:00 UTC, nothing reserved, mail waits.
    fn default() -> Self {
        Self {
            limits: Vec::new(),
            month_from: 1,
            reset: ResetTime::default(),
            reserve: 0,
            overflow: Overflow::Pause,
        }
    }
}

/// `overflow`: where mail goes once a quota is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It waits until the quota is renewed.
    Pause,
    /// Through the gateway of this name.
    To(String),
}

/// `fallback` with `fallback_after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackGateway {
    /// The gateway of this name takes over.
    pub gateway: String,
    /// After this one has been down for so long.
    pub after: Duration,
}

impl fmt::Display for Counted {
    /// Empty, or ` recipients`, as it stands after a number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Messages => "",
            Self::Recipients => " recipients",
        })
    }
}

impl fmt::Display for Rate {
    /// As it stands in the file: `14/s`, `30 recipients/min`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per.as_secs() {
            1 => "s",
            60 => "min",
            _ => "h",
        };
        write!(f, "{}{}/{per}", self.amount, self.of)
    }
}

impl fmt::Display for QuotaLimit {
    /// As it stands in the file: `200/day`, `10000 recipients/24h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/", self.amount, self.of)?;
        match self.per {
            Period::Day => f.write_str("day"),
            Period::Month => f.write_str("month"),
            Period::Last(time) => write!(f, "{}h", time.as_secs() / 3600),
        }
    }
}
