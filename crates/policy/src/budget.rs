//! How much one origin may hand in: so many messages in an hour, and so many at once. What is over
//! that is put off or held, and nobody else notices.
//!
//! Counted by the generic cell rate algorithm: for each origin one moment is kept, at which all that
//! it handed in would have been handed in at the rate allowed. It may lie ahead by the burst.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use mail::Submitter;

/// Origins that are counted at a time. When there are more, those are forgotten that are the least
/// ahead, which does them no harm and us little.
const ORIGINS_MAX: usize = 10_000;

/// What one origin may hand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Messages in [`Budget::per`].
    pub messages: NonZeroU32,
    /// A second, a minute or an hour.
    pub per: Duration,
    /// Messages that may come at once.
    pub burst: NonZeroU32,
}

impl fmt::Display for Budget {
    /// `60 messages/min, 5 at once`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per.as_secs() {
            1 => "s",
            60 => "min",
            _ => "h",
        };
        write!(
            f,
            "{} messages/{per}, {} at once",
            self.messages, self.burst
        )
    }
}

/// Whose budget a message is counted in: a user who authenticated has one, whatever the address; so
/// has a uid, and else an address.
#[must_use]
pub fn account(submitter: &Submitter) -> String {
    match submitter {
        Submitter::Local { uid, .. } => format!("uid {uid}"),
        Submitter::Client {
            user: Some(user), ..
        } => format!("user {user}"),
        Submitter::Client {
            address,
            user: None,
        } => format!("client {address}"),
    }
}

/// The name that the system has for a uid, where there is one.
#[must_use]
pub fn login(submitter: &Submitter) -> Option<&str> {
    match submitter {
        Submitter::Local { login, .. } => login.as_deref(),
        Submitter::Client { .. } => None,
    }
}

/// What is said of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The origin is within its budget.
    Within {
        /// It was over it at the message before.
        again: bool,
    },
    /// It is over it; the message was not counted.
    Over {
        /// When it may hand in the next one.
        wait: Duration,
        /// It was within it at the message before.
        first: bool,
    },
}

/// What each origin handed in lately.
#[derive(Debug, Default)]
pub struct Usage {
    origins: BTreeMap<String, Account>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// The moment of the algorithm, on the monotonic clock.
    due: Duration,
    over: bool,
}

impl Usage {
    /// Counts a message of this origin at `now`, a monotonic time.
    pub fn take(&mut self, now: Duration, origin: &str, budget: &Budget) -> Finding {
        let each = budget.per / budget.messages.get();
        let ahead = each.saturating_mul(budget.burst.get() - 1);
        let account = self.account(now, origin);
        let due = account.due.max(now);
        if due > now + ahead {
            let first = !std::mem::replace(&mut account.over, true);
            let wait = due - (now + ahead);
            return Finding::Over { wait, first };
        }
        account.due = due + each;
        Finding::Within {
            again: std::mem::take(&mut account.over),
        }
    }

    fn account(&mut self, now: Duration, origin: &str) -> &mut Account {
        if self.origins.len() >= ORIGINS_MAX && !self.origins.contains_key(origin) {
            self.forget(now);
        }
        self.origins.entry(origin.to_owned()).or_default()
    }

    /// Makes room: those that are not ahead, or else the half that is the least.
    fn forget(&mut self, now: Duration) {
        self.origins.retain(|_, account| account.due > now);
        if self.origins.len() >= ORIGINS_MAX {
            let mut all: Vec<Duration> = self.origins.values().map(|account| account.due).collect();
            let (_, middle, _) = all.select_nth_unstable(ORIGINS_MAX / 2);
            let middle = *middle;
            self.origins.retain(|_, account| account.due > middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget(messages: u32, burst: u32) -> Budget {
        Budget {
            messages: NonZeroU32::new(messages).unwrap(),
            per: Duration::from_secs(3600),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (mut usage, budget) = (Usage::default(), budget(60, 3));
        let mut take = |at| usage.take(secs(at), "uid 33", &budget);
        for _ in 0..3 {
            assert_eq!(take(0), Finding::Within { again: false });
        }
        let over = |wait, first| Finding::Over {
            wait: secs(wait),
            first,
        };
        assert_eq!(take(0), over(60, true));
        assert_eq!(take(15), over(45, false));
        assert_eq!(take(60), Finding::Within { again: true });
        assert_eq!(take(60), over(60, true));
    }

    #[test]
    fn others_are_not_touched() {
        let (mut usage, budget) = (Usage::default(), budget(1, 1));
        for origin in ["uid 33", "uid 34", "alice at 192.0.2.7"] {
            let finding = usage.take(secs(5), origin, &budget);
            assert_eq!(finding, Finding::Within { again: false });
        }
    }

    #[test]
    fn many_origins_take_little_room_and_the_worst_is_remembered() {
        let (mut usage, budget) = (Usage::default(), budget(60, 10));
        while matches!(
            usage.take(secs(1), "uid 33", &budget),
            Finding::Within { .. }
        ) {}
        for number in 0..3 * ORIGINS_MAX {
            usage.take(secs(1), &number.to_string(), &budget);
            assert!(usage.origins.len() <= ORIGINS_MAX);
        }
        let finding = usage.take(secs(1), "uid 33", &budget);
        assert!(matches!(finding, Finding::Over { first: false, .. }));
    }

    proptest! {
        /// In any stretch of time no more pass than the burst and what the rate makes of the time.
        #[test]
        fn never_more_than_the_rate_and_the_burst(
            gaps in proptest::collection::vec(0_u64..120, 1..200),
            (messages, burst) in (1_u32..400, 1_u32..50),
        ) {
            let (mut usage, budget) = (Usage::default(), budget(messages, burst));
            let (mut now, mut passed) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                if matches!(usage.take(secs(now), "x", &budget), Finding::Within { .. }) {
                    passed.push(now);
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let by_rate = (to - from) * u64::from(messages) / 3600;
                    prop_assert!((last - first) as u64 <= by_rate + u64::from(burst));
                }
            }
        }
    }
}
