//! Alarms over time, with a clock that is passed in: a table of courses, and what holds for any.

use super::*;
use crate::alarm::Grade;
use proptest::prelude::*;

fn watch() -> Watch {
    Watch {
        clear_after: Duration::from_secs(60),
        remind_after: Duration::from_secs(3600),
        ..Watch::default()
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + seconds)
}

fn finding(cause: &str, kind: &'static str) -> Finding {
    Finding {
        cause: cause.to_owned(),
        kind,
        grade: Grade::Critical,
        what: format!("{cause} is {kind}"),
        remedy: "Mend it.".to_owned(),
    }
}

fn picture(causes: &[(&str, &'static str)], waiting: u64) -> Picture {
    Picture {
        findings: causes
            .iter()
            .map(|(cause, kind)| finding(cause, kind))
            .collect(),
        open: Vec::new(),
        waiting,
    }
}

/// What there is to tell after a course of (second, causes), every notice taken at once.
fn course(steps: &[(u64, &[(&str, &'static str)])]) -> Vec<(u64, NoticeKind, String)> {
    let mut alarms = Alarms::default();
    let mut told = Vec::new();
    for (second, causes) in steps {
        alarms.observe(at(*second), &picture(causes, 0), &watch());
        while let Some(notice) = alarms.due(at(*second)).cloned() {
            told.push((*second, notice.kind, notice.cause.clone()));
            alarms.told(notice.number);
        }
        let kept = Alarms::from_text(&alarms.to_text()).unwrap();
        assert_eq!(kept, alarms);
    }
    told
}

const GW: &[(&str, &str)] = &[("gateway main", "auth")];
const NONE: &[(&str, &str)] = &[];

#[test]
fn one_alarm_for_a_cause_and_one_all_clear() {
    use NoticeKind::{Over, Raised};
    let gateway = || "gateway main".to_owned();
    let told = course(&[
        (0, NONE),
        (10, GW),
        (20, GW),
        (300, GW),
        (310, NONE),
        (360, NONE),
        (370, NONE),
        (900, NONE),
    ]);
    assert_eq!(told, [(10, Raised, gateway()), (370, Over, gateway())]);
    // Back before it was called over: it never ended.
    let told = course(&[
        (0, GW),
        (10, NONE),
        (50, GW),
        (60, NONE),
        (119, NONE),
        (120, NONE),
    ]);
    assert_eq!(told, [(0, Raised, gateway()), (120, Over, gateway())]);
}

#[test]
fn reminders_grow_rarer() {
    let hours: Vec<(u64, &[(&str, &str)])> = (0..24 * 6).map(|hour| (hour * 3600, GW)).collect();
    let told = course(&hours);
    let reminded: Vec<u64> = told
        .iter()
        .filter(|(_, kind, _)| *kind == NoticeKind::Reminder)
        .map(|(second, ..)| second / 3600)
        .collect();
    assert_eq!(reminded, [1, 3, 7, 15, 31, 55, 79, 103, 127]);
}

#[test]
fn a_cause_that_becomes_another_is_told_once_for_each() {
    use NoticeKind::{Changed, Raised};
    let low: &[(&str, &str)] = &[("q", "low")];
    let spent: &[(&str, &str)] = &[("q", "spent")];
    let told = course(&[(0, low), (10, spent), (20, low), (30, spent), (40, low)]);
    assert_eq!(
        told,
        [(0, Raised, "q".to_owned()), (10, Changed, "q".to_owned())]
    );
}

#[test]
fn what_no_road_takes_is_kept_in_order_and_told_later() {
    let mut alarms = Alarms::default();
    alarms.observe(at(0), &picture(GW, 3), &watch());
    let mut now = 0;
    for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
        assert!(alarms.due(at(now)).is_some());
        alarms.not_told(at(now));
        assert!(alarms.due(at(now + pause - 1)).is_none(), "{pause}");
        now += pause;
    }
    assert_eq!(alarms.untold(), 1);
    // A day passes: no reminder of what nobody knows, then the end.
    alarms.observe(at(90_000), &picture(GW, 8), &watch());
    alarms.observe(at(90_001), &picture(NONE, 2), &watch());
    alarms.observe(at(90_100), &picture(NONE, 1), &watch());
    let mut alarms = Alarms::from_text(&alarms.to_text()).unwrap();
    let mut told = Vec::new();
    while let Some(notice) = alarms.due(at(100_000)).cloned() {
        alarms.told(notice.number);
        told.push(notice);
    }
    let kinds: Vec<NoticeKind> = told.iter().map(|notice| notice.kind).collect();
    assert_eq!(kinds, [NoticeKind::Raised, NoticeKind::Over]);
    let over = told[1].body("web1");
    assert!(over.contains("It lasted 1 d 1 h."), "{over}");
    assert!(
        over.contains("At most 8 messages waited; 7 of them have gone out"),
        "{over}"
    );
    assert_eq!(alarms.causes().count(), 0);
}

#[test]
fn a_cause_that_is_not_known_is_neither_raised_nor_over() {
    let open = Picture {
        open: vec!["gateway main".to_owned()],
        ..Picture::default()
    };
    let mut alarms = Alarms::default();
    assert!(!alarms.observe(at(0), &open, &watch()));
    alarms.observe(at(1), &picture(GW, 0), &watch());
    for second in 2..5000 {
        alarms.observe(at(second), &open, &watch());
    }
    assert_eq!(alarms.causes().collect::<Vec<_>>(), ["gateway main"]);
    assert_eq!(alarms.untold.len(), 1);
}

#[test]
fn all_is_well_once_a_day_if_wanted() {
    let watch = Watch {
        daily: true,
        ..watch()
    };
    let mut alarms = Alarms::default();
    let mut told = 0;
    for hour in 0..72 {
        let causes = if hour == 30 { GW } else { NONE };
        alarms.observe(at(hour * 3600), &picture(causes, 0), &watch);
        while let Some(notice) = alarms.due(at(hour * 3600)).cloned() {
            told += u32::from(notice.kind == NoticeKind::Well);
            alarms.told(notice.number);
        }
    }
    assert_eq!(told, 3);
}

#[test]
fn a_damaged_text_is_not_used() {
    let mut alarms = Alarms::default();
    alarms.observe(
        at(0),
        &picture(&[("a\tb\\", "x"), ("c\nd", "y")], 3),
        &watch(),
    );
    let text = alarms.to_text();
    assert_eq!(Alarms::from_text(&text), Ok(alarms));
    for bad in [
        "",
        "relayd-alarms 2\nend\n",
        "relayd-alarms 1\n",
        &text.replace("end\n", ""),
        &text.replace("raised", "rised"),
        &text.replace("\\\\", "\\x"),
    ] {
        assert!(Alarms::from_text(bad).is_err(), "{bad}");
    }
}

proptest! {
    /// Whatever happens in whatever order, with a clock that may jump: alarms and all-clears of a
    /// cause alternate, reminders stand between them, nothing is told of what was never found, and
    /// the state survives being written down at any moment.
    #[test]
    fn notices_tell_a_consistent_story(
        steps in proptest::collection::vec((0_u64..20_000, 0_u8..8, 0_u8..8, any::<bool>()), 1..120)
    ) {
        let names = ["a", "b", "c"];
        let mut alarms = Alarms::default();
        let mut is_raised = [false; 3];
        let mut now = 100_000_u64;
        for (by, found, open, taken) in steps {
            now = if by % 17 == 0 { now.saturating_sub(by) } else { now + by };
            let chosen = |mask: u8| {
                names.iter().enumerate().filter(move |(bit, _)| mask & (1 << bit) != 0).map(|(_, name)| *name)
            };
            let picture = Picture {
                findings: chosen(found).map(|name| finding(name, "x")).collect(),
                open: chosen(open & !found).map(str::to_owned).collect(),
                waiting: by,
            };
            alarms.observe(at(now), &picture, &watch());
            alarms = Alarms::from_text(&alarms.to_text()).unwrap();
            while let Some(notice) = alarms.due(at(now)).cloned() {
                if !taken {
                    alarms.not_told(at(now));
                    break;
                }
                let which = names.iter().position(|name| *name == notice.cause).unwrap();
                match notice.kind {
                    NoticeKind::Raised => prop_assert!(!std::mem::replace(&mut is_raised[which], true)),
                    NoticeKind::Over => prop_assert!(std::mem::replace(&mut is_raised[which], false)),
                    NoticeKind::Reminder => prop_assert!(is_raised[which]),
                    NoticeKind::Changed | NoticeKind::Well => prop_assert!(false, "{:?}", notice),
                }
                alarms.told(notice.number);
            }
            prop_assert!(alarms.untold.len() <= MOST_UNTOLD);
        }
    }
}
