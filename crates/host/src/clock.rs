//! The clocks: wall time for what is stored and shown, and a clock that only runs forward for
//! timers.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mail::Timestamp;
use nix::libc;
use nix::time::{ClockId, clock_gettime};

/// The wall clock, to the microsecond. A clock set before 1970 reads as 1970.
#[must_use]
pub fn wall() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}

/// Time since this function was first called in this process; never runs backwards and is not
/// moved by setting the clock. Counts time that the machine slept (`CLOCK_BOOTTIME`), so that a
/// message is not late by a night.
#[must_use]
pub fn monotonic() -> Duration {
    static START: OnceLock<Duration> = OnceLock::new();
    let now = boot_time();
    now.saturating_sub(*START.get_or_init(|| now))
}

fn boot_time() -> Duration {
    // Every Linux since 2.6.39 has this clock, and reading a clock that exists cannot fail.
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .unwrap_or_default()
}

/// How far local time is ahead of UTC at `at`, in minutes, by the `TZ` variable or
/// `/etc/localtime`. Zero where the system cannot tell.
#[must_use]
pub fn utc_offset_minutes(at: Timestamp) -> i32 {
    let Ok(seconds) = libc::time_t::try_from(at.as_secs()) else {
        return 0;
    };
    // SAFETY: `tm` is a plain C struct of integers and one pointer, for which all-zero bytes are a
    // valid value. `localtime_r` reads one time_t and writes one tm, both of which live on this
    // stack; it keeps neither pointer. It reads the environment (`TZ`) once: no thread of these
    // programs ever changes the environment.
    let offset_s = unsafe {
        let mut local: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&raw const seconds, &raw mut local).is_null() {
            return 0;
        }
        local.tm_gmtoff
    };
    i32::try_from(offset_s / 60).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_does_not_run_backwards() {
        let first = monotonic();
        assert!(monotonic() >= first);
    }

    #[test]
    fn wall_time_is_after_this_was_written() {
        assert!(wall() > Timestamp::from_secs(1_600_000_000));
    }

    #[test]
    fn an_offset_is_less_than_a_day() {
        assert!(utc_offset_minutes(wall()).abs() < 24 * 60);
        assert_eq!(
            utc_offset_minutes(Timestamp::from_micros(u64::MAX)).abs() / (24 * 60),
            0
        );
    }
}
