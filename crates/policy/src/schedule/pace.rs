//! How fast mail goes through one gateway: within the rate of the settings, and slower for a while
//! where the gateway calls for it.
//!
//! The rate holds in every window that the gateway could measure, whenever between the start of a
//! transaction and the answer to it that it counts: what has begun counts until a whole window has
//! passed since its end. Beside that, starts are spread evenly, so that one backlog does not use a
//! whole hour's allowance in a minute and leave nothing for who comes next.

use std::collections::VecDeque;
use std::time::Duration;

use super::circuit::RETRY_AFTER_MAX;
use crate::settings::{Counted, Rate};

/// Ends of transactions that are kept apart in one window; more are counted together.
const KEPT: u32 = 512;
/// The least difference of two clock readings.
const TICK: Duration = Duration::from_micros(1);

/// The least time between starts after the gateway called for less.
const SLOW_MIN: Duration = Duration::from_millis(50);
/// The longest.
const SLOW_MAX: Duration = Duration::from_secs(60);
/// A tenth of that time is taken away for each stretch of this length without another call.
const RECOVERY: Duration = Duration::from_secs(30);
/// Calls for less, with nothing taken in between, after which it is more than that.
const CALLS_MAX: u8 = 5;
/// Starts that are remembered, to know how fast mail went.
const STARTS: usize = 8;

/// What was sent lately.
#[derive(Debug, Default)]
pub(super) struct Pace {
    rate: Option<Rate>,
    /// The gateway called for less.
    slow: Option<Slow>,
    /// How often it did since it last took something.
    calls: u8,
    /// When the latest transactions began.
    starts: VecDeque<Duration>,
    /// What is under way.
    active: u64,
    /// What ended, oldest first.
    ended: VecDeque<Ended>,
    /// The sum of `ended`.
    counted: u64,
    /// When the next may begin, as starts are spread.
    next: Duration,
}

/// Less than the rate, for a while.
#[derive(Debug)]
struct Slow {
    /// The time between starts.
    interval: Duration,
    /// When it was set or became less.
    at: Duration,
}

/// Transactions that ended at about the same time.
#[derive(Debug)]
struct Ended {
    first: Duration,
    last: Duration,
    cost: u64,
}

impl Pace {
    /// This rate holds from now on. What was sent before, perhaps by an earlier run, is not known: up
    /// to `under_way` transactions may be ending now, and the spread begins after them.
    pub(super) fn set_rate(&mut self, now: Duration, rate: Option<Rate>, under_way: u32) {
        if self.rate.is_none()
            && let Some(rate) = rate
        {
            let owed = each(&rate).saturating_mul(under_way.saturating_add(1));
            self.next = self.next.max(now + owed.min(rate.per));
        }
        if rate.is_none() && self.rate.is_some() {
            self.ended.clear();
            (self.counted, self.next) = (0, Duration::ZERO);
        }
        self.rate = rate;
    }

    /// The gateway wants less, from now on and after the time that it asks for: half of what it got.
    /// False if it has been said in vain, so that it is more than that.
    pub(super) fn slow_down(&mut self, now: Duration, retry_after: Option<Duration>) -> bool {
        self.calls = self.calls.saturating_add(1);
        let (interval, at) = self
            .slow
            .as_ref()
            .map_or((Duration::ZERO, Duration::ZERO), |slow| {
                (slow.interval, slow.at)
            });
        // Sessions that were refused together say one thing.
        let same = now < at + interval;
        let wanted = if same {
            interval
        } else {
            (interval.max(self.spacing()) * 2).clamp(SLOW_MIN, SLOW_MAX)
        };
        let at = if same { at } else { now };
        self.slow = Some(Slow {
            interval: wanted,
            at,
        });
        let pause = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        self.next = self.next.max(now + wanted.max(pause));
        self.calls < CALLS_MAX
    }

    /// The gateway answered a transaction to its end.
    pub(super) const fn went_well(&mut self) {
        self.calls = 0;
    }

    /// The time between the latest starts.
    fn spacing(&self) -> Duration {
        let gaps = u32::try_from(self.starts.len().saturating_sub(1)).unwrap_or(u32::MAX);
        match (self.starts.front(), self.starts.back()) {
            (Some(first), Some(last)) if gaps > 0 => (*last - *first) / gaps,
            _ => Duration::ZERO,
        }
    }

    /// What was lessened comes back, a little at a time.
    fn recover(&mut self, now: Duration) {
        while let Some(slow) = &mut self.slow
            && now >= slow.at + RECOVERY
        {
            slow.at += RECOVERY;
            slow.interval = slow.interval * 9 / 10;
            if slow.interval < SLOW_MIN {
                self.slow = None;
            }
        }
    }

    /// What a message for so many recipients counts. One that is larger than the rate goes alone.
    pub(super) fn cost(&self, recipients: u32) -> u32 {
        self.rate.map_or(1, |rate| match rate.of {
            Counted::Messages => 1,
            Counted::Recipients => recipients.clamp(1, rate.amount.get()),
        })
    }

    /// When a transaction of this cost may begin: zero for at once, `None` if one must end first.
    pub(super) fn allows_at(&self, cost: u32) -> Option<Duration> {
        let Some(rate) = self.rate else {
            return Some(self.next);
        };
        let room = u64::from(rate.amount.get());
        let mut over = (self.active + self.counted + u64::from(cost)).saturating_sub(room);
        let mut at = self.next;
        for ended in &self.ended {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(ended.cost);
            at = at.max(ended.last + rate.per + TICK);
        }
        (over == 0).then_some(at)
    }

    /// A transaction of this cost begins.
    pub(super) fn begin(&mut self, now: Duration, cost: u32) {
        self.active += u64::from(cost);
        self.starts.push_back(now);
        if self.starts.len() > STARTS {
            self.starts.pop_front();
        }
        self.recover(now);
        if let Some(slow) = &self.slow {
            self.next = self.next.max(now + slow.interval);
        }
        let Some(rate) = self.rate else { return };
        self.next = self.next.max(now) + each(&rate).saturating_mul(cost);
        while let Some(oldest) = self.ended.front()
            && oldest.last + rate.per < now
        {
            self.counted -= oldest.cost;
            self.ended.pop_front();
        }
    }

    /// It ended.
    pub(super) fn end(&mut self, now: Duration, cost: u32) {
        let cost = u64::from(cost);
        self.active = self.active.saturating_sub(cost);
        let Some(rate) = self.rate else { return };
        self.counted += cost;
        match self.ended.back_mut() {
            Some(back) if now < back.first + rate.per / KEPT => {
                back.last = now;
                back.cost += cost;
            }
            _ => self.ended.push_back(Ended {
                first: now,
                last: now,
                cost,
            }),
        }
    }
}

/// The time between two starts.
fn each(rate: &Rate) -> Duration {
    rate.per / rate.amount.get()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    fn rate(amount: u32, per: u64) -> Rate {
        Rate {
            amount: NonZeroU32::new(amount).unwrap(),
            of: Counted::Messages,
            per: Duration::from_secs(per),
        }
    }

    fn pace(rate: Rate) -> Pace {
        let mut pace = Pace::default();
        pace.set_rate(Duration::ZERO, Some(rate), 0);
        pace
    }

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn starts_are_spread_and_a_rate_that_is_new_owes_what_may_be_under_way() {
        let mut pace = Pace::default();
        pace.set_rate(millis(100), Some(rate(10, 1)), 3);
        assert_eq!(pace.allows_at(1), Some(millis(500)));
        pace.begin(millis(500), 1);
        assert_eq!(pace.allows_at(1), Some(millis(600)));
        let mut slow = Pace::default();
        slow.set_rate(millis(100), Some(rate(1, 60)), 3);
        assert_eq!(slow.allows_at(1), Some(millis(60_100)));
    }

    #[test]
    fn what_is_under_way_counts_until_a_window_after_its_end() {
        let mut pace = pace(rate(2, 1));
        pace.begin(millis(500), 1);
        pace.begin(millis(1000), 1);
        assert_eq!(pace.allows_at(1), None);
        pace.end(millis(9000), 1);
        assert_eq!(pace.allows_at(1), Some(millis(10_000) + TICK));
    }

    #[test]
    fn a_call_for_less_halves_what_went_and_it_comes_back_slowly() {
        let mut pace = Pace::default();
        for n in 0..8 {
            pace.begin(millis(100 * n), 1);
        }
        assert_eq!(pace.allows_at(1), Some(Duration::ZERO));
        assert!(pace.slow_down(millis(800), None));
        assert!(pace.slow_down(millis(810), None), "the same call");
        assert_eq!(pace.allows_at(1), Some(millis(1010)));
        pace.begin(millis(1010), 1);
        assert_eq!(pace.allows_at(1), Some(millis(1210)));
        pace.begin(millis(31_000), 1);
        assert_eq!(pace.allows_at(1), Some(millis(31_180)));
        pace.begin(millis(3_600_000), 1);
        assert_eq!(pace.allows_at(1), Some(millis(31_180)), "at once");
    }

    #[test]
    fn a_call_that_is_never_followed_by_anything_is_more_than_that() {
        let mut pace = Pace::default();
        let said: Vec<bool> = (0..6)
            .map(|n| pace.slow_down(millis(1000 << n), None))
            .collect();
        assert_eq!(said, [true, true, true, true, false, false]);
        pace.went_well();
        assert!(pace.slow_down(Duration::from_secs(100), Some(Duration::from_secs(92))));
        assert_eq!(pace.allows_at(1), Some(Duration::from_secs(192)));
    }

    #[test]
    fn nine_tenths_of_the_rate_are_used() {
        let mut pace = pace(rate(14, 1));
        let (mut now, mut begun) = (Duration::ZERO, 0);
        let mut under_way = VecDeque::new();
        while now < Duration::from_secs(100) {
            while under_way.front().is_some_and(|end| *end <= now) {
                pace.end(now, 1);
                under_way.pop_front();
            }
            if pace.allows_at(1).is_some_and(|at| at <= now) {
                pace.begin(now, 1);
                under_way.push_back(now + millis(80));
                begun += 1;
            }
            now += millis(1);
        }
        assert!((1260..=1400).contains(&begun), "{begun}");
    }

    proptest! {
        /// Wherever between start and end each one is counted: never more than the rate in a window.
        #[test]
        fn never_above_the_rate_in_any_window(
            (amount, cost_max) in (1_u32..40, 1_u32..5),
            steps in proptest::collection::vec((0_u64..200, 0_u64..3000, 0_u64..=100, 1_u32..5), 1..300),
        ) {
            let rate = rate(amount, 1);
            let mut pace = pace(rate);
            let mut under_way: Vec<(Duration, u32)> = Vec::new();
            let (mut now, mut counted) = (Duration::ZERO, Vec::new());
            for (gap, takes, at, cost) in steps {
                now += millis(gap);
                under_way.sort_unstable();
                while let Some((end, cost)) = under_way.first().copied().filter(|(end, _)| *end <= now) {
                    pace.end(end, cost);
                    under_way.remove(0);
                }
                let cost = cost.min(cost_max).min(amount);
                if pace.allows_at(cost).is_some_and(|at| at <= now) {
                    pace.begin(now, cost);
                    under_way.push((now + millis(takes), cost));
                    counted.push((now + millis(takes) * u32::try_from(at).unwrap() / 100, cost));
                }
            }
            counted.sort_unstable();
            for (n, (from, _)) in counted.iter().enumerate() {
                let window = counted[n..].iter().take_while(|(at, _)| *at - *from <= rate.per);
                let sum: u32 = window.map(|(_, cost)| cost).sum();
                prop_assert!(sum <= amount, "{sum} from {from:?}");
            }
        }
    }
}
