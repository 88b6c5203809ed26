//! What the ledger promises, by example and for any run of grants, crashes and clock jumps.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::quota::limits;
use crate::settings::{Period, Quota, QuotaLimit, ResetTime};

const NOON: u64 = 1_795_435_200;
const GATEWAY: &str = "main";

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// One limit; days and months begin at 07:30 UTC and on the 15th.
fn limit(amount: u64, of: Counted, per: Period) -> Limit {
    let quota = Quota {
        limits: vec![QuotaLimit { amount, of, per }],
        month_from: 15,
        reset: ResetTime {
            minute: 450,
            offset: 0,
        },
        ..Quota::default()
    };
    limits(&quota)[0]
}

const LAST_DAY: Period = Period::Last(Duration::from_secs(86_400));

fn one() -> Cost {
    Cost::of(1)
}

#[test]
fn a_spent_quota_says_when_there_is_room() {
    let (mut ledger, quotas) = (Ledger::default(), [limit(3, Counted::Messages, LAST_DAY)]);
    for _ in 0..3 {
        let grant = ledger.grant(at(NOON), GATEWAY, &quotas, 0, one()).unwrap();
        assert_eq!((grant.all.messages, grant.all.recipients), (1, u64::MAX));
    }
    let spent = ledger
        .grant(at(NOON), GATEWAY, &quotas, 0, one())
        .unwrap_err();
    assert_eq!(spent.limit, quotas[0]);
    // The step of ten minutes that began at noon has to leave the window as a whole.
    assert_eq!(spent.until, at(NOON + 600 + 86_400));
    let later = ledger.grant(spent.until, GATEWAY, &quotas, 0, one());
    assert!(later.is_ok());
}

#[test]
fn portions_are_granted_and_the_rest_is_given_back() {
    let (mut ledger, quotas) = (
        Ledger::default(),
        [limit(1000, Counted::Recipients, Period::Day)],
    );
    let grant = ledger.grant(at(NOON), GATEWAY, &quotas, 0, one()).unwrap();
    assert_eq!(grant.all.recipients, 10);
    assert_eq!(ledger.used(at(NOON), GATEWAY, &quotas[0]), 10);
    ledger.give_back(GATEWAY, &quotas, &grant, Cost::of(7));
    assert_eq!(ledger.used(at(NOON), GATEWAY, &quotas[0]), 3);
    ledger.give_back(GATEWAY, &quotas, &grant, Cost::of(7_000));
    assert_eq!(ledger.used(at(NOON), GATEWAY, &quotas[0]), 0);
}

#[test]
fn bulk_leaves_the_reserve() {
    let (mut ledger, quotas) = (
        Ledger::default(),
        [limit(10, Counted::Messages, Period::Day)],
    );
    let mut bulk = Vec::new();
    for _ in 0..10 {
        let grant = ledger.grant(at(NOON), GATEWAY, &quotas, 20, one()).unwrap();
        bulk.push(grant.bulk.messages);
    }
    assert_eq!(bulk, [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
}

#[test]
fn a_month_begins_anew() {
    let (mut ledger, quotas) = (
        Ledger::default(),
        [limit(1, Counted::Messages, Period::Month)],
    );
    ledger.grant(at(NOON), GATEWAY, &quotas, 0, one()).unwrap();
    let spent = ledger
        .grant(at(NOON), GATEWAY, &quotas, 0, one())
        .unwrap_err();
    let next = mail::date::rfc5322(spent.until, 0);
    assert_eq!(next, "Tue, 15 Dec 2026 07:30:00 +0000");
    ledger
        .grant(spent.until, GATEWAY, &quotas, 0, one())
        .unwrap();
}

#[test]
fn a_jump_ahead_that_is_taken_back_forgets_nothing() {
    for per in [Period::Day, LAST_DAY, Period::Month] {
        let (mut ledger, quotas) = (Ledger::default(), [limit(5, Counted::Messages, per)]);
        for hour in [0, 24 * 40, 1] {
            ledger
                .grant(at(NOON + 3600 * hour), GATEWAY, &quotas, 0, one())
                .unwrap();
        }
        assert_eq!(
            ledger.used(at(NOON + 7200), GATEWAY, &quotas[0]),
            3,
            "{per:?}"
        );
    }
}

#[test]
fn the_level_tells_how_full_it_is() {
    let (mut ledger, quota) = (
        Ledger::default(),
        limit(100, Counted::Messages, Period::Day),
    );
    let mut levels = Vec::new();
    for _ in 0..100 {
        ledger.grant(at(NOON), GATEWAY, &[quota], 0, one()).unwrap();
        levels.push(ledger.level(at(NOON), GATEWAY, &quota));
    }
    let first = |level| levels.iter().position(|seen| *seen == level).map(|n| n + 1);
    assert_eq!(first(Level::High), Some(80));
    assert_eq!(first(Level::Critical), Some(95));
    assert_eq!(first(Level::Spent), Some(100));
}

#[test]
fn a_damaged_ledger_is_refused_and_says_where() {
    let problem = |text: &str| Ledger::from_text(text).unwrap_err().to_string();
    assert_eq!(problem(""), "line 1: this is not a quota ledger");
    assert_eq!(
        problem("relayd-quota-ledger 1\n"),
        "line 1: the end is missing"
    );
    let damaged = "relayd-quota-ledger 1\nmessages/day;5;main\nend\n";
    assert_eq!(problem(damaged), "line 2: the line is damaged");
}

#[derive(Clone, Copy, Debug)]
enum Act {
    /// Seconds pass; the clock may also be wrong by this much for one grant.
    Pass(u32, i32),
    /// A grant for so many, of which so many are sent before the process is killed or goes on.
    Send { want: u8, sent: u8, killed: bool },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let pass = (0_u32..30_000, -200_000_i32..200_000)
        .prop_map(|(secs, jump)| Act::Pass(secs, if jump % 5 == 0 { jump } else { 0 }));
    let send = (1_u8..8, 0_u8..20, any::<bool>()).prop_map(|(want, sent, killed)| Act::Send {
        want,
        sent,
        killed,
    });
    proptest::collection::vec(prop_oneof![pass, send.clone(), send], 1..120)
}

proptest! {
    /// No window of true time ever holds more than the quota, whatever is killed when; a clock that
    /// jumps is only allowed to make us send less, so jumps are left out of this one.
    #[test]
    fn no_window_holds_more_than_the_quota(acts in acts(), count in 1_u64..40) {
        let quota = limit(count, Counted::Recipients, LAST_DAY);
        let (mut ledger, mut now) = (Ledger::default(), NOON);
        let mut sent_at: Vec<u64> = Vec::new();
        for act in acts {
            let (want, sent, killed) = match act {
                Act::Pass(secs, _) => { now += u64::from(secs); continue; }
                Act::Send { want, sent, killed } => (want, sent, killed),
            };
            let Ok(grant) = ledger.grant(at(now), GATEWAY, &[quota], 0, Cost::of(want.into())) else { continue };
            let sent = u64::from(sent).min(grant.all.recipients);
            sent_at.extend(std::iter::repeat_n(now, usize::try_from(sent).unwrap()));
            if killed {
                ledger = Ledger::from_text(&ledger.to_text()).unwrap();
            } else {
                ledger.give_back(GATEWAY, &[quota], &grant, Cost::of(grant.all.recipients - sent));
            }
            let in_window = sent_at.iter().filter(|then| now - **then < 86_400).count();
            prop_assert!(in_window as u64 <= count);
            prop_assert!(ledger.used(at(now), GATEWAY, &quota) >= in_window as u64);
        }
    }

    /// The text holds all of it, and the clock may do what it likes without harm.
    #[test]
    fn a_ledger_is_read_as_it_was_written(acts in acts()) {
        let quotas = [limit(20, Counted::Messages, LAST_DAY), limit(50, Counted::Recipients, Period::Month), limit(9, Counted::Messages, Period::Day)];
        let (mut ledger, mut now) = (Ledger::default(), NOON);
        for act in acts {
            match act {
                Act::Pass(secs, jump) => now = (now + u64::from(secs)).saturating_add_signed(jump.into()),
                Act::Send { want, .. } => {
                    let _ = ledger.grant(at(now), "two words; and a sign", &quotas, 10, Cost::of(want.into()));
                }
            }
            prop_assert_eq!(Ledger::from_text(&ledger.to_text()), Ok(ledger.clone()));
            prop_assert!(ledger.rows.values().all(|row| row.steps.len() <= KEPT + 1));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "(?s)(relayd-quota-ledger 1\n)?.{0,200}") {
        let _ = Ledger::from_text(&text);
    }
}
