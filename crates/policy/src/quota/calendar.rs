//! When a day or a month of a quota began and when it ends.

use mail::{Timestamp, date};

use crate::settings::ResetTime;

const DAY: u64 = 86_400;

/// The last point at or before `at` at which a day began.
pub(super) fn day_start(at: Timestamp, reset: ResetTime) -> Timestamp {
    real(midnight(local(at, reset)), reset)
}

/// The last point at or before `at` at which this day of a month (1 to 28) began.
pub(super) fn month_start(at: Timestamp, day: u8, reset: ResetTime) -> Timestamp {
    let mut start = midnight(local(at, reset));
    while date::day_of_month(start) != u32::from(day) && start.as_secs() >= DAY {
        start = Timestamp::from_secs(start.as_secs() - DAY);
    }
    real(start, reset)
}

/// The beginning of the next day.
pub(super) fn next_day(at: Timestamp, reset: ResetTime) -> Timestamp {
    real(day_after(midnight(local(at, reset))), reset)
}

/// The next beginning of this day of a month (1 to 28).
pub(super) fn next_month(at: Timestamp, day: u8, reset: ResetTime) -> Timestamp {
    let mut next = day_after(midnight(local(at, reset)));
    while date::day_of_month(next) != u32::from(day) {
        next = day_after(next);
    }
    real(next, reset)
}

/// The same moment on a clock that shows midnight when a day of the quota begins.
fn local(at: Timestamp, reset: ResetTime) -> Timestamp {
    Timestamp::from_secs(at.as_secs().saturating_add_signed(ahead(reset)))
}

/// Back from that clock.
fn real(local: Timestamp, reset: ResetTime) -> Timestamp {
    Timestamp::from_secs(local.as_secs().saturating_add_signed(-ahead(reset)))
}

/// How far that clock is ahead of UTC, in seconds.
fn ahead(reset: ResetTime) -> i64 {
    (i64::from(reset.offset) - i64::from(reset.minute)) * 60
}

fn midnight(at: Timestamp) -> Timestamp {
    Timestamp::from_secs(at.as_secs() / DAY * DAY)
}

fn day_after(midnight: Timestamp) -> Timestamp {
    Timestamp::from_secs(midnight.as_secs().saturating_add(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTC: ResetTime = ResetTime {
        minute: 0,
        offset: 0,
    };
    /// 07:00 on a clock 9 hours ahead of UTC.
    const TOKYO: ResetTime = ResetTime {
        minute: 420,
        offset: 540,
    };
    /// Midnight on a clock 8 hours behind.
    const PACIFIC: ResetTime = ResetTime {
        minute: 0,
        offset: -480,
    };
    /// Wed, 1 Mar 2028 06:00: the day before was a 29 February.
    const MORNING: Timestamp = Timestamp::from_secs(1_835_481_600 + 6 * 3600);

    fn text(at: Timestamp) -> String {
        date::rfc5322(at, 0)
    }

    #[test]
    fn months_begin_where_the_settings_say() {
        let start = |day, reset| text(month_start(MORNING, day, reset));
        assert_eq!(start(1, UTC), "Wed, 1 Mar 2028 00:00:00 +0000");
        assert_eq!(start(28, UTC), "Mon, 28 Feb 2028 00:00:00 +0000");
        assert_eq!(start(1, TOKYO), "Tue, 29 Feb 2028 22:00:00 +0000");
        assert_eq!(start(1, PACIFIC), "Tue, 1 Feb 2028 08:00:00 +0000");
        let next = |day, reset| text(next_month(MORNING, day, reset));
        assert_eq!(next(15, UTC), "Wed, 15 Mar 2028 00:00:00 +0000");
        assert_eq!(next(1, PACIFIC), "Wed, 1 Mar 2028 08:00:00 +0000");
    }

    #[test]
    fn days_begin_where_the_settings_say() {
        let day = |reset| {
            (
                text(day_start(MORNING, reset)),
                text(next_day(MORNING, reset)),
            )
        };
        let utc = (
            "Wed, 1 Mar 2028 00:00:00 +0000",
            "Thu, 2 Mar 2028 00:00:00 +0000",
        );
        assert_eq!(day(UTC), (utc.0.into(), utc.1.into()));
        let tokyo = (
            "Tue, 29 Feb 2028 22:00:00 +0000",
            "Wed, 1 Mar 2028 22:00:00 +0000",
        );
        assert_eq!(day(TOKYO), (tokyo.0.into(), tokyo.1.into()));
    }

    #[test]
    fn the_beginning_of_time_does_no_harm() {
        for reset in [UTC, TOKYO, PACIFIC] {
            assert!(month_start(Timestamp::default(), 15, reset) <= Timestamp::from_secs(2 * DAY));
            assert!(next_month(Timestamp::default(), 15, reset) > Timestamp::default());
        }
    }
}
