//! Dates and identifiers as text: RFC 5322 dates, `ctime` dates, message identifiers.
//!
//! The calendar is computed here, so nothing depends on locale, time-zone files or environment.
//! The local offset comes in as a value from whoever may ask the system for it.

use crate::{QueueId, Timestamp};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const SECONDS_A_DAY: i64 = 86_400;

/// A date as in header fields (RFC 5322 section 3.3): `Mon, 23 Nov 2026 18:24:12 +0100`.
///
/// `utc_offset_minutes` is how far local time is ahead of UTC; beyond a day either way it is cut
/// to 23:59. Fractions of a second are dropped.
#[must_use]
pub fn rfc5322(at: Timestamp, utc_offset_minutes: i32) -> String {
    let offset = bounded(utc_offset_minutes);
    let (date, clock) = (Civil::of(at, offset), offset.unsigned_abs());
    let sign = if offset < 0 { '-' } else { '+' };
    let Civil {
        weekday,
        day,
        month,
        year,
        hour,
        minute,
        second,
    } = date;
    format!(
        "{weekday}, {day} {} {year:04} {hour:02}:{minute:02}:{second:02} {sign}{:02}{:02}",
        MONTHS[month],
        clock / 60,
        clock % 60
    )
}

/// A date as `ctime` and `mailq` print it: `Mon Nov 23 18:24:12 2026`, in local time. A day of one
/// digit is padded with a space.
#[must_use]
pub fn asctime(at: Timestamp, utc_offset_minutes: i32) -> String {
    let date = Civil::of(at, bounded(utc_offset_minutes));
    let Civil {
        weekday,
        day,
        month,
        year,
        hour,
        minute,
        second,
    } = date;
    format!(
        "{weekday} {} {day:2} {hour:02}:{minute:02}:{second:02} {year:04}",
        MONTHS[month]
    )
}

/// The day of the month in UTC, from 1.
#[must_use]
pub fn day_of_month(at: Timestamp) -> u32 {
    Civil::of(at, 0).day
}

/// The part of a message identifier between `<` and `>`, in Postfix's form: the time in UTC, the
/// queue id and the host, as in `20261123172412.3456789ABCDE@host.example.org`.
#[must_use]
pub fn message_id(at: Timestamp, id: QueueId, hostname: &str) -> String {
    let Civil {
        day,
        month,
        year,
        hour,
        minute,
        second,
        ..
    } = Civil::of(at, 0);
    let month = month + 1;
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}.{id}@{hostname}")
}

/// A point in time as a calendar shows it. `month` counts from 0, `day` from 1.
struct Civil {
    weekday: &'static str,
    day: u32,
    month: usize,
    year: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Civil {
    /// Howard Hinnant's `civil_from_days`: years are taken to begin in March, so that the leap
    /// day is the last day of a year, and 400 years (an era) have 146,097 days.
    fn of(at: Timestamp, offset_minutes: i32) -> Self {
        let seconds = at.as_secs().cast_signed() + i64::from(offset_minutes) * 60;
        let (days, clock) = (
            seconds.div_euclid(SECONDS_A_DAY),
            seconds.rem_euclid(SECONDS_A_DAY),
        );
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = (march_month + 2) % 12;
        Self {
            weekday: DAYS[usize::try_from(days.rem_euclid(7)).unwrap_or(0)],
            day: u32::try_from(day).unwrap_or(1),
            month: usize::try_from(month).unwrap_or(0),
            year: era * 400 + year_of_era + i64::from(month < 2),
            hour: clock / 3_600,
            minute: clock / 60 % 60,
            second: clock % 60,
        }
    }
}

fn bounded(offset_minutes: i32) -> i32 {
    offset_minutes.clamp(-1_439, 1_439)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn dates_as_date_prints_them() {
        // The right-hand sides are what `date -d @N` of GNU coreutils 9.1 prints.
        assert_eq!(rfc5322(at(0), 0), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(
            rfc5322(at(1_795_458_252), 60),
            "Mon, 23 Nov 2026 19:24:12 +0100"
        );
        assert_eq!(
            rfc5322(at(951_782_400), 0),
            "Tue, 29 Feb 2000 00:00:00 +0000"
        );
        assert_eq!(
            rfc5322(at(1_709_164_799), -570),
            "Wed, 28 Feb 2024 14:29:59 -0930"
        );
        assert_eq!(
            rfc5322(at(4_107_542_400), 0),
            "Mon, 1 Mar 2100 00:00:00 +0000"
        );
        assert_eq!(rfc5322(at(0), -60), "Wed, 31 Dec 1969 23:00:00 -0100");
    }

    #[test]
    fn ctime_dates_pad_the_day() {
        assert_eq!(asctime(at(1_795_458_252), 0), "Mon Nov 23 18:24:12 2026");
        assert_eq!(asctime(at(4_107_542_400), 0), "Mon Mar  1 00:00:00 2100");
    }

    #[test]
    fn message_ids_have_time_queue_id_and_host() {
        let id = QueueId::from_number(0x3456_789A_BCDE);
        let text = message_id(at(1_795_458_252), id, "h.example");
        assert_eq!(text, "20261123182412.3456789ABCDE@h.example");
    }

    proptest! {
        #[test]
        fn any_time_and_offset_has_a_date(micros: u64, offset: i32) {
            let date = rfc5322(Timestamp::from_micros(micros), offset);
            prop_assert!(date.is_ascii() && date.len() >= 30);
            prop_assert!(asctime(Timestamp::from_micros(micros), offset).len() >= 24);
        }

        #[test]
        fn mailparse_reads_the_same_time(secs in 86_400_u64..4_000_000_000, offset in -720_i32..840) {
            let date = rfc5322(at(secs), offset);
            prop_assert_eq!(mailparse::dateparse(&date).ok(), i64::try_from(secs).ok());
        }
    }
}
