//! Reading what a gateway allows: `rate`, `quota`, `overflow`, `fallback` and their neighbours.

use super::{Block, Reader};
use crate::settings::limits::{
    Counted, FallbackGateway, Overflow, Period, Quota, QuotaLimit, Rate, ResetTime,
};
use crate::settings::scan::quoted;
use crate::settings::values::{self, Fault};
use std::num::NonZeroU32;
use std::time::Duration;

/// More limits in one `quota` than this help nobody.
const MOST_QUOTAS: usize = 8;

impl Reader {
    /// `quota` and what belongs to it; `None` only after a complaint.
    pub(super) fn quota(&mut self, block: &Block) -> Option<Quota> {
        let limits = self.optional(block, "quota", quota_limits);
        let month_from = self.value(block, "quota_from", month_day);
        let reset = self.value(block, "quota_reset", reset_time);
        let reserve = self.value(block, "reserve", percent);
        let overflow = self.value(block, "overflow", overflow);
        if !self.is_given(block, "quota") {
            for name in ["quota_from", "quota_reset", "reserve", "overflow"] {
                self.needs(block, name, "quota");
            }
        }
        if let Some(Overflow::To(name)) = &overflow {
            self.another(block, "overflow", name);
        }
        Some(Quota {
            limits: limits.unwrap_or_default(),
            month_from: month_from?,
            reset: reset?,
            reserve: reserve?,
            overflow: overflow?,
        })
    }

    /// `fallback` with `fallback_after`.
    pub(super) fn fallback(&mut self, block: &Block) -> Option<FallbackGateway> {
        let after = self.value(block, "fallback_after", values::duration);
        let Some(gateway) = self.optional(block, "fallback", gateway_name) else {
            if !self.is_given(block, "fallback") {
                self.needs(block, "fallback_after", "fallback");
            }
            return None;
        };
        self.another(block, "fallback", &gateway);
        Some(FallbackGateway {
            gateway,
            after: after?,
        })
    }

    pub(super) fn needs(&mut self, block: &Block, name: &str, other: &str) {
        if self.is_given(block, name) {
            let message = format!("{name} does nothing without {other}");
            let remedy = format!("add {other}, or remove {name}");
            self.complain(self.line_of(block, name), message, remedy);
        }
    }

    fn another(&mut self, block: &Block, key: &str, gateway: &str) {
        if block.heading.strip_prefix("gateway ") == Some(gateway) {
            let message = format!("{key} names the gateway itself");
            self.complain(self.line_of(block, key), message, "name another gateway");
        }
    }
}

/// `14/s`, `30/min`, `1000 recipients/h`.
pub(super) fn rate(text: &str) -> Result<Rate, Fault> {
    let remedy = "write a number and a time, such as 14/s, 30/min, 500/h or 14 recipients/s";
    let fault = || Fault {
        message: format!("{} is not a rate", quoted(text)),
        remedy: remedy.to_owned(),
    };
    let (amount, of, per) = counted(text).ok_or_else(fault)?;
    let per = match per {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        _ => return Err(fault()),
    };
    let amount = u32::try_from(amount).ok().and_then(NonZeroU32::new);
    Ok(Rate {
        amount: amount.ok_or_else(fault)?,
        of,
        per: Duration::from_secs(per),
    })
}

fn quota_limits(text: &str) -> Result<Vec<QuotaLimit>, Fault> {
    let items = text.split(',').map(str::trim);
    let limits: Vec<QuotaLimit> = items.map(quota_limit).collect::<Result<_, Fault>>()?;
    if limits.len() > MOST_QUOTAS {
        return Err(Fault {
            message: format!("there are more than {MOST_QUOTAS} limits"),
            remedy: "keep those that matter".to_owned(),
        });
    }
    for (at, limit) in limits.iter().enumerate() {
        let same = |other: &&QuotaLimit| other.per == limit.per && other.of == limit.of;
        if limits[..at].iter().any(|other| same(&other)) {
            return Err(Fault {
                message: "two limits are for the same time".to_owned(),
                remedy: "keep the smaller one".to_owned(),
            });
        }
    }
    Ok(limits)
}

/// `200/day`, `10000 recipients/month`, `50000/24h`.
fn quota_limit(text: &str) -> Result<QuotaLimit, Fault> {
    let fault = || Fault {
        message: format!("{} is not a quota", quoted(text)),
        remedy: "write a number and a time, such as 200/day, 10000/month, 50000/24h or \
                 300 recipients/day; with commas between several"
            .to_owned(),
    };
    let (amount, of, per) = counted(text).ok_or_else(fault)?;
    let per = match per {
        "day" => Period::Day,
        "month" => Period::Month,
        "hour" | "h" => Period::Last(Duration::from_secs(3600)),
        hours => Period::Last(last_hours(hours).ok_or_else(fault)?),
    };
    (amount > 0)
        .then_some(QuotaLimit { amount, of, per })
        .ok_or_else(fault)
}

/// `24h`: from 1 to 744 hours, which is a month.
fn last_hours(text: &str) -> Option<Duration> {
    let hours = text.strip_suffix('h').and_then(digits)?;
    (1..=744)
        .contains(&hours)
        .then(|| Duration::from_secs(hours * 3600))
}

/// `N/TIME`, `N messages/TIME` or `N recipients/TIME`.
fn counted(text: &str) -> Option<(u64, Counted, &str)> {
    let (amount, per) = text.split_once('/')?;
    let mut words = amount.split_whitespace();
    let amount = digits(words.next()?)?;
    let of = match words.next() {
        None | Some("messages") => Counted::Messages,
        Some("recipients") => Counted::Recipients,
        Some(_) => return None,
    };
    words.next().is_none().then(|| (amount, of, per.trim()))
}

fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

/// A day that every month has.
fn month_day(text: &str) -> Result<u8, Fault> {
    values::whole(text, 1..=28, "write a day from 1 to 28")
}

/// `10%`.
pub(super) fn percent(text: &str) -> Result<u8, Fault> {
    let remedy = "write a share from 0% to 90%";
    match text.strip_suffix('%') {
        Some(number) => values::whole(number.trim(), 0..=90, remedy),
        None => Err(Fault {
            message: format!("{} is not a share", quoted(text)),
            remedy: remedy.to_owned(),
        }),
    }
}

/// `HH:MM`, `HH:MM UTC` or `HH:MM +HH:MM`.
fn reset_time(text: &str) -> Result<ResetTime, Fault> {
    let mut words = text.split_whitespace();
    let minute = words.next().and_then(|time| clock(time, 1439));
    let offset = match words.next() {
        None | Some("UTC") => Some(0),
        Some(zone) => offset(zone),
    };
    match (minute, offset, words.next()) {
        (Some(minute), Some(offset), None) => Ok(ResetTime { minute, offset }),
        _ => Err(Fault {
            message: format!("{} is not a time of day with a zone", quoted(text)),
            remedy: "write a time and its distance from UTC, such as 00:00 UTC or 00:00 -08:00"
                .to_owned(),
        }),
    }
}

fn offset(zone: &str) -> Option<i16> {
    let (sign, most) = match zone.as_bytes().first()? {
        b'+' => (1, 840),
        b'-' => (-1, 720),
        _ => return None,
    };
    let minutes = clock(&zone[1..], most)?;
    i16::try_from(minutes).ok().map(|minutes| sign * minutes)
}

/// `HH:MM` in minutes.
fn clock(text: &str, most: u16) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let total = u16::try_from(hours * 60 + minutes).ok()?;
    (minutes < 60 && total <= most).then_some(total)
}

fn overflow(text: &str) -> Result<Overflow, Fault> {
    if text == "pause" {
        return Ok(Overflow::Pause);
    }
    gateway_name(text).map(Overflow::To)
}

/// The name in a heading `[gateway NAME]`.
fn gateway_name(text: &str) -> Result<String, Fault> {
    if text.contains(char::is_whitespace) {
        return Err(Fault {
            message: format!("{} is not the name of a gateway", quoted(text)),
            remedy: "write the NAME that stands in a heading [gateway NAME]".to_owned(),
        });
    }
    Ok(text.to_owned())
}

/// How many messages or recipients fit into something.
pub(super) fn count(text: &str) -> Result<NonZeroU32, Fault> {
    let remedy = "write a number from 1 to 1000000";
    let number = values::whole(text, 1..=1_000_000_u32, remedy)?;
    Ok(NonZeroU32::MIN.saturating_add(number - 1))
}

/// `weight`.
pub(super) fn weight(text: &str) -> Result<u32, Fault> {
    values::whole(text, 1..=1000, "write a number from 1 to 1000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (text, amount, of, secs) in [
            ("14/s", 14, Counted::Messages, 1),
            ("30 / min", 30, Counted::Messages, 60),
            ("500 recipients/h", 500, Counted::Recipients, 3600),
            ("2 messages/s", 2, Counted::Messages, 1),
        ] {
            let read = rate(text).unwrap();
            assert_eq!((read.amount.get(), read.of), (amount, of), "{text}");
            assert_eq!(read.per, Duration::from_secs(secs), "{text}");
            assert_eq!(rate(&read.to_string()), Ok(read), "{text}");
        }
        for text in [
            "14",
            "0/s",
            "14/day",
            "14/m",
            "x/s",
            "-1/s",
            "1 2/s",
            "14 rcpt/s",
            "99999999999/s",
            "/s",
            "1/",
        ] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn quotas() {
        let read = quota_limits("200/day, 10000 recipients/month,50000/24h, 500/hour").unwrap();
        let shown: Vec<String> = read.iter().map(QuotaLimit::to_string).collect();
        assert_eq!(
            shown,
            ["200/day", "10000 recipients/month", "50000/24h", "500/1h"]
        );
        assert_eq!(quota_limits(&shown.join(",")), Ok(read));
        for text in [
            "200",
            "0/day",
            "200/year",
            "200/day,",
            "200/day, 100/day",
            "1/0h",
            "1/745h",
            "1/h,2/h,3/2h,1/3h,1/4h,1/5h,1/6h,1/7h,1/8h",
        ] {
            assert!(quota_limits(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_of_reset() {
        for (text, minute, offset) in [
            ("00:00", 0, 0),
            ("23:59 UTC", 1439, 0),
            ("08:30 -08:00", 510, -480),
            ("00:00 +05:30", 0, 330),
        ] {
            assert_eq!(reset_time(text), Ok(ResetTime { minute, offset }), "{text}");
        }
        for text in [
            "24:00",
            "0:00",
            "00:60",
            "00:00 PST",
            "00:00 -13:00",
            "00:00 +1",
            "",
            "00:00 UTC x",
            "00:00 é0:00",
        ] {
            assert!(reset_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_days_and_names() {
        assert_eq!(percent("10%"), Ok(10));
        assert_eq!(overflow("pause"), Ok(Overflow::Pause));
        assert_eq!(overflow("spare"), Ok(Overflow::To("spare".to_owned())));
        assert_eq!(month_day("28"), Ok(28));
        assert!(percent("10").is_err() && percent("91%").is_err() && percent("%").is_err());
        assert!(month_day("29").is_err() && overflow("a b").is_err());
        assert!(count("0").is_err() && weight("0").is_err());
        assert_eq!(count("1000000").map(NonZeroU32::get), Ok(1_000_000));
    }
}
