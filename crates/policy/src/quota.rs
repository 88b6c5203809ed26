//! The quotas of a gateway as they are counted: which stretch of time each of them is about.
//!
//! The settings say what the limits are ([`crate::settings::Quota`]); what was used of them is
//! counted in the [`Ledger`].

mod calendar;
mod ledger;

use std::time::Duration;

use crate::settings::{Period, Quota, QuotaLimit, ResetTime};

pub use ledger::{Cost, Grant, Ledger, LedgerError, Level, Spent};

/// One limit with the time that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many of what, and its wording.
    pub limit: QuotaLimit,
    /// In which time.
    pub window: Window,
}

/// The time in which a gateway counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// Any stretch of this length: what was sent longer ago no longer counts.
    Rolling(Duration),
    /// From this time of one day to the next.
    Day(ResetTime),
    /// From this time on this day of a month (1 to 28) to the same day of the next.
    Month(u8, ResetTime),
}

/// The limits of the settings, each with its window.
#[must_use]
pub fn limits(quota: &Quota) -> Vec<Limit> {
    let window = |limit: &QuotaLimit| match limit.per {
        Period::Last(length) => Window::Rolling(length),
        Period::Day => Window::Day(quota.reset),
        Period::Month => Window::Month(quota.month_from, quota.reset),
    };
    let limits = quota.limits.iter();
    limits
        .map(|limit| Limit {
            limit: *limit,
            window: window(limit),
        })
        .collect()
}
