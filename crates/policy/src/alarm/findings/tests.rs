//! Facts and what is found in them, as a table.

use super::*;
use crate::alarm::{Expiry, Oldest, Report, Style};

const MINUTE: Duration = Duration::from_secs(60);

fn healthy() -> Facts {
    Facts {
        running: true,
        gateways: vec![GatewayFacts {
            name: "main".to_owned(),
            down: None,
            proven: true,
        }],
        disk: Some(Disk {
            free: 50,
            size: 100,
            free_files: 0,
            files: 0,
        }),
        ..Facts::default()
    }
}

fn with(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = healthy();
    change(&mut facts);
    facts
}

fn down(kind: TroubleKind, minutes: u32, reason: &str) -> Facts {
    with(|facts| {
        facts.gateways[0].down = Some(Down {
            kind,
            lasting: MINUTE * minutes,
            reason: reason.to_owned(),
        });
    })
}

fn see(facts: &Facts) -> Picture {
    examine(facts, &Watch::default(), Timestamp::from_secs(1_000_000))
}

#[test]
fn nothing_is_wrong_where_nothing_is() {
    assert_eq!(see(&healthy()), Picture::default());
    let retried = with(|facts| {
        (facts.waiting, facts.deferred) = (5, 5);
        facts.oldest = Some(Oldest {
            id: "A".to_owned(),
            age: MINUTE * 30,
            reason: Some("greylisted".to_owned()),
        });
        facts.maildrop = Some((Duration::from_secs(2), 1));
    });
    assert!(see(&retried).findings.is_empty());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_trouble_is_found_with_its_remedy() {
    let quota = |used| {
        with(|facts| {
            facts.quotas.push(QuotaFacts {
                gateway: "main".to_owned(),
                limit: "200/day".to_owned(),
                used,
                of: 200,
            });
        })
    };
    let disk = |free, free_files| {
        with(|facts| {
            facts.disk = Some(Disk {
                free,
                size: 1000,
                free_files,
                files: 1000,
            });
        })
    };
    let oldest = |hours: u32| {
        with(|facts| {
            facts.oldest = Some(Oldest {
                id: "0123456789AB".to_owned(),
                age: MINUTE * 60 * hours,
                reason: Some("450 busy -- x; y".to_owned()),
            });
        })
    };
    let expiry = |seconds| {
        with(|facts| {
            facts.expiring.push(Expiry {
                what: "the certificate c".to_owned(),
                at: Timestamp::from_secs(seconds),
            });
        })
    };
    use Grade::{Critical, Warning};
    use TroubleKind::{Auth, Refused4xx, Refused5xx, Tls, Unreachable};
    let cases: Vec<(Facts, &str, &str, Grade, &str)> = vec![
        (
            down(Auth, 2, "535 no"),
            "gateway main",
            "auth",
            Critical,
            "Put the right password",
        ),
        (
            down(Tls, 2, "expired"),
            "gateway main",
            "tls",
            Critical,
            "certificate must be valid",
        ),
        (
            down(Unreachable, 11, "refused"),
            "gateway main",
            "unreachable",
            Critical,
            "firewall",
        ),
        (
            down(Refused4xx, 11, "421 busy"),
            "gateway main",
            "refused",
            Critical,
            "Read its words",
        ),
        (
            down(
                Refused5xx,
                2,
                &Cause::Quota.advice().unwrap().beside("554 daily limit"),
            ),
            "gateway main",
            "quota",
            Critical,
            "; wait until the provider renews it",
        ),
        (
            quota(160),
            "quota 200/day of gateway main",
            "running low",
            Warning,
            "overflow",
        ),
        (
            quota(190),
            "quota 200/day of gateway main",
            "nearly spent",
            Critical,
            "overflow",
        ),
        (
            quota(200),
            "quota 200/day of gateway main",
            "spent",
            Critical,
            "overflow",
        ),
        (
            with(|facts| {
                let words = Cause::Sender.advice().unwrap().beside("554 not verified");
                facts.refused_senders = Some((3, "a@b.example".to_owned(), words));
            }),
            "sender",
            "refused",
            Critical,
            "; verify the address",
        ),
        (oldest(5), "stuck", "stuck", Warning, "mailq"),
        (disk(90, 500), "disk", "filling up", Warning, "Free some"),
        (disk(40, 500), "disk", "nearly full", Critical, "Free some"),
        (disk(500, 20), "disk", "nearly full", Critical, "Free some"),
        (
            with(|facts| facts.damaged = 2),
            "damaged",
            "damaged",
            Warning,
            "relayd-spool(5)",
        ),
        (
            with(|facts| facts.maildrop = Some((MINUTE * 6, 2))),
            "maildrop",
            "waiting",
            Critical,
            "mail log",
        ),
        (
            with(|facts| facts.running = false),
            "relayd",
            "down",
            Critical,
            "systemctl start relayd",
        ),
        (
            expiry(1_000_000 + 86_400 * 13),
            "expiry of the certificate c",
            "expiring",
            Warning,
            "Renew",
        ),
        (
            expiry(999_999),
            "expiry of the certificate c",
            "expired",
            Critical,
            "Renew",
        ),
        (
            with(|facts| facts.untold = 1),
            "roads",
            "closed",
            Critical,
            "relayctl emergency",
        ),
    ];
    for (facts, cause, kind, grade, remedy) in cases {
        let picture = see(&facts);
        let [finding] = &picture.findings[..] else {
            panic!("{cause} {kind}: {picture:#?}")
        };
        assert_eq!(
            (finding.cause.as_str(), finding.kind, finding.grade),
            (cause, kind, grade)
        );
        assert!(finding.remedy.contains(remedy), "{finding:#?}");
        assert!(
            !finding.what.contains('\n') && !finding.what.contains(" -- "),
            "{finding:#?}"
        );
        let watch = Watch::default();
        let report = Report {
            facts: &facts,
            picture: &picture,
            watch: &watch,
        };
        assert_eq!(report.status(), if grade == Critical { 2 } else { 1 });
        for style in [Style::Human, Style::Json, Style::Nagios] {
            assert!(
                report.text(style).contains(&finding.what),
                "{}",
                report.text(style)
            );
        }
    }
}

/// Too early, or not known: neither an alarm nor an all-clear.
#[test]
fn what_is_not_known_stays_open() {
    use TroubleKind::{Auth, Unreachable};
    let unproven = with(|facts| facts.gateways[0].proven = false);
    for facts in [down(Unreachable, 9, "x"), down(Auth, 0, "x"), unproven] {
        let picture = see(&facts);
        assert!(picture.findings.is_empty(), "{picture:#?}");
        assert_eq!(picture.open, ["gateway main"]);
    }
    let mut facts = down(Unreachable, 60 * 9, "x");
    facts.oldest = Some(Oldest {
        id: "A".to_owned(),
        age: MINUTE * 60 * 9,
        reason: None,
    });
    let picture = see(&facts);
    assert_eq!(
        (picture.findings.len(), picture.open),
        (1, vec!["stuck".to_owned()])
    );
}

#[test]
fn nagios_reads_one_line_with_perfdata() {
    let facts = with(|facts| {
        (facts.waiting, facts.deferred, facts.held) = (7, 3, 1);
        facts.damaged = 1;
    });
    let (picture, watch) = (see(&facts), Watch::default());
    let report = Report {
        facts: &facts,
        picture: &picture,
        watch: &watch,
    };
    assert_eq!(
        report.text(Style::Nagios).lines().next(),
        Some(
            "RELAYD WARNING - 1 damaged entry in the spool: see corrupt | queue=7;;;0 deferred=3;;;0 \
             held=1;;;0 oldest=0s;14400;;0 damaged=1;0;;0 maildrop=0;;;0 alarms_not_told=0;;0;0 \
             disk_free=50%;10:;5:;0;100"
        )
    );
}
