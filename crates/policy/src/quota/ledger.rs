//! What was sent through each gateway, counted so that it is never less than what the gateway
//! counted.
//!
//! Sending is paid in advance: a [`Grant`] is counted as spent, the ledger goes to disk, and only
//! then may anything be sent on it. A crash loses the rest of a grant, never a message that was
//! sent. What a grant leaves over is given back.
//!
//! A rolling window is kept in steps of a 144th of it (10 minutes of a day); a step counts until
//! its last moment has left the window. Clocks jump: what was spent in a future that did not come
//! counts as spent now, and steps are kept for a second window, in case a jump ahead is taken back.

mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use mail::Timestamp;

use super::{Limit, Window, calendar};
use crate::settings::Counted;

pub use text::LedgerError;

/// Steps in one rolling window.
const STEPS: u64 = 144;
/// Steps kept for one row: two windows and the one that is begun.
const KEPT: usize = 2 * STEPS as usize + 1;
/// The part of a quota that is granted at once, if no more is asked for: a hundredth.
const PORTION: u64 = 100;
/// The most granted at once beyond what is asked for.
const PORTION_MAX: u64 = 500;

/// What all gateways were sent, for the quotas that the settings name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    rows: BTreeMap<(String, Window, Counted), Row>,
}

/// What is sent, or may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Transactions.
    pub messages: u64,
    /// Their recipients.
    pub recipients: u64,
}

/// Leave to send, counted as spent already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What may be sent; `u64::MAX` of what no quota counts.
    pub all: Cost,
    /// How much of it may be bulk: less where the rest is the reserve.
    pub bulk: Cost,
    /// When it was given, for [`Ledger::give_back`].
    pub at: Timestamp,
    /// Until when it may be used.
    pub until: Timestamp,
}

/// There is no leave to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The quota that is used up.
    pub limit: Limit,
    /// When there will be room again.
    pub until: Timestamp,
}

/// How much of a quota is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Less than 80 %.
    #[default]
    Fine,
    /// 80 % or more.
    High,
    /// 95 % or more.
    Critical,
    /// All of it.
    Spent,
}

/// What was spent in each step, by its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    steps: BTreeMap<Timestamp, u64>,
}

impl Ledger {
    /// Leave for at least `want` and at most a portion more, if every quota has room for `want`.
    ///
    /// `reserve` is the percentage of each quota that bulk mail may not use. The ledger must be on
    /// disk before the grant is used.
    ///
    /// # Errors
    ///
    /// Says which quota is used up, and until when.
    pub fn grant(
        &mut self,
        now: Timestamp,
        gateway: &str,
        limits: &[Limit],
        reserve: u8,
        want: Cost,
    ) -> Result<Grant, Spent> {
        let mut grant = Grant {
            all: Cost::of(u64::MAX),
            bulk: Cost::of(u64::MAX),
            at: now,
            until: Timestamp::from_micros(u64::MAX),
        };
        for limit in limits {
            let row = self.row(gateway, limit);
            let left = limit
                .limit
                .amount
                .saturating_sub(row.used(now, limit.window));
            let want = want.counted(limit.limit.of).max(1);
            if left < want {
                let until = row.room_at(now, limit, want);
                return Err(Spent {
                    limit: *limit,
                    until,
                });
            }
            let portion = (limit.limit.amount / PORTION).clamp(1, PORTION_MAX);
            let reserved = limit.limit.amount.saturating_mul(u64::from(reserve)) / 100;
            grant.narrow(
                limit,
                left.min(want.max(portion)),
                left.saturating_sub(reserved),
            );
            grant.until = grant.until.min(limit.window.step_end(now));
        }
        for limit in limits {
            let spent = grant.all.counted(limit.limit.of);
            self.row(gateway, limit).spend(now, limit.window, spent);
        }
        Ok(grant)
    }

    /// Gives back what a grant left over, at most what it was.
    pub fn give_back(&mut self, gateway: &str, limits: &[Limit], grant: &Grant, rest: Cost) {
        for limit in limits {
            let rest = rest
                .counted(limit.limit.of)
                .min(grant.all.counted(limit.limit.of));
            let start = limit.window.step_start(grant.at);
            if let Some(spent) = self.row(gateway, limit).steps.get_mut(&start) {
                *spent = spent.saturating_sub(rest);
            }
        }
    }

    /// How much of a quota is used at `now`, what is granted included.
    #[must_use]
    pub fn used(&self, now: Timestamp, gateway: &str, limit: &Limit) -> u64 {
        let key = (gateway.to_owned(), limit.window, limit.limit.of);
        self.rows
            .get(&key)
            .map_or(0, |row| row.clone().used(now, limit.window))
    }

    /// How full a quota is at `now`.
    #[must_use]
    pub fn level(&self, now: Timestamp, gateway: &str, limit: &Limit) -> Level {
        let (used, count) = (
            u128::from(self.used(now, gateway, limit)),
            u128::from(limit.limit.amount),
        );
        match used * 100 {
            hundredfold if hundredfold >= count * 100 => Level::Spent,
            hundredfold if hundredfold >= count * 95 => Level::Critical,
            hundredfold if hundredfold >= count * 80 => Level::High,
            _ => Level::Fine,
        }
    }

    /// Forgets what no gateway of the settings counts any more. `in_use` says what one counts.
    pub fn retain(&mut self, in_use: impl Fn(&str, Window, Counted) -> bool) {
        self.rows
            .retain(|(gateway, window, unit), _| in_use(gateway, *window, *unit));
    }

    fn row(&mut self, gateway: &str, limit: &Limit) -> &mut Row {
        let key = (gateway.to_owned(), limit.window, limit.limit.of);
        self.rows.entry(key).or_default()
    }
}

impl Row {
    /// What counts at `now`; what was spent in the future is moved to now.
    fn used(&mut self, now: Timestamp, window: Window) -> u64 {
        let current = window.step_start(now);
        let ahead: u64 = self
            .steps
            .split_off(&Timestamp::from_micros(current.as_micros() + 1))
            .into_values()
            .fold(0, u64::saturating_add);
        if ahead > 0 {
            self.add(current, ahead);
        }
        self.steps
            .iter()
            .filter(|(start, _)| window.counts_until(**start) > now)
            .fold(0, |sum, (_, spent)| sum.saturating_add(*spent))
    }

    fn spend(&mut self, now: Timestamp, window: Window, spent: u64) {
        self.add(window.step_start(now), spent);
        while self.steps.len() > KEPT {
            self.steps.pop_first();
        }
    }

    fn add(&mut self, start: Timestamp, spent: u64) {
        let step = self.steps.entry(start).or_default();
        *step = step.saturating_add(spent);
    }

    /// When there is room for `want`, if nothing else is sent. What the quota never has room for
    /// waits as for all of it.
    fn room_at(&self, now: Timestamp, limit: &Limit, want: u64) -> Timestamp {
        let counting = || {
            let steps = self.steps.iter().map(|(start, spent)| (*start, *spent));
            steps.filter(|(start, _)| limit.window.counts_until(*start) > now)
        };
        let mut used = counting().fold(0_u64, |sum, (_, spent)| sum.saturating_add(spent));
        let mut at = now;
        for (start, spent) in counting() {
            if limit.limit.amount.saturating_sub(used) >= want {
                break;
            }
            used = used.saturating_sub(spent);
            at = limit.window.counts_until(start);
        }
        at
    }
}

impl Window {
    /// The start of the step that `at` is in.
    fn step_start(self, at: Timestamp) -> Timestamp {
        match self {
            Self::Rolling(length) => {
                Timestamp::from_secs(at.as_secs() / step(length) * step(length))
            }
            Self::Day(reset) => calendar::day_start(at, reset),
            Self::Month(day, reset) => calendar::month_start(at, day, reset),
        }
    }

    /// The end of the step that `at` is in.
    fn step_end(self, at: Timestamp) -> Timestamp {
        match self {
            Self::Rolling(length) => later(self.step_start(at), step(length)),
            Self::Day(reset) => calendar::next_day(at, reset),
            Self::Month(day, reset) => calendar::next_month(at, day, reset),
        }
    }

    /// Until when a step that began at `start` counts.
    fn counts_until(self, start: Timestamp) -> Timestamp {
        let end = self.step_end(start);
        match self {
            Self::Rolling(length) => later(end, length.as_secs()),
            Self::Day(_) | Self::Month(..) => end,
        }
    }
}

/// The length of a step of a rolling window, in seconds.
const fn step(length: Duration) -> u64 {
    let step = length.as_secs() / STEPS;
    if step == 0 { 1 } else { step }
}

const fn later(at: Timestamp, secs: u64) -> Timestamp {
    Timestamp::from_secs(at.as_secs().saturating_add(secs))
}

impl Grant {
    /// Takes one quota into account.
    fn narrow(&mut self, limit: &Limit, all: u64, bulk: u64) {
        let (own, own_bulk) = match limit.limit.of {
            Counted::Messages => (&mut self.all.messages, &mut self.bulk.messages),
            Counted::Recipients => (&mut self.all.recipients, &mut self.bulk.recipients),
        };
        *own = (*own).min(all);
        *own_bulk = (*own_bulk).min(bulk).min(*own);
    }
}

impl Cost {
    const fn of(each: u64) -> Self {
        Self {
            messages: each,
            recipients: each,
        }
    }

    const fn counted(self, unit: Counted) -> u64 {
        match unit {
            Counted::Messages => self.messages,
            Counted::Recipients => self.recipients,
        }
    }
}

#[cfg(test)]
mod tests;
