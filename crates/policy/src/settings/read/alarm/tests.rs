//! Alarms' sections, in files good and bad.

use super::*;
use crate::settings::Settings;

const GATEWAY: &str = "[gateway main]\nhost = smtp.gateway.example\n";

/// Both readers of one file: they must agree.
fn read(sections: &str) -> (Alarm, Vec<String>) {
    let text = format!("{GATEWAY}{sections}");
    let (emergency, problems) = Emergency::parse(&text, "f");
    let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
    match Settings::parse(&text, "f") {
        Ok(settings) => {
            assert_eq!((&settings.alarm, words.len()), (&emergency.alarm, 0));
        }
        Err(strict) => assert_eq!(strict, problems),
    }
    (emergency.alarm, words)
}

fn good(sections: &str) -> Alarm {
    let (alarm, problems) = read(sections);
    assert!(problems.is_empty(), "{problems:#?}");
    alarm
}

fn account(road: &Road) -> &Account {
    match &road.by {
        By::Smtp(account) => account,
        other => panic!("{other:?}"),
    }
}

const FIRST: &str = "[alarm]\nto = a@x.example, b@y.example\nhost = smtp.one.example\n\
                     user = u@one.example\npassword_file = p\n";

#[test]
fn nothing_said_is_no_road() {
    assert_eq!(good(""), Alarm::default());
    assert_eq!(good("[alarm]\n"), Alarm::default());
    assert_eq!(good("[alarm]\nto = a@x.example\n"), Alarm::default());
}

#[test]
fn roads_stand_in_the_order_of_the_sections() {
    let alarm = good(&format!(
        "{FIRST}file = /var/log/alarms\n[alarm spare]\nprovider = gmail\nuser = v\n\
         password_file = q\nto = c@z.example\nfrom = v@gmail.com\n[alarm chat]\nwebhook = teams\nwebhook_file = w\n\
         [alarm page]\nwebhook = pagerduty\nwebhook_credential = k\ncommand = page --now\n"
    ));
    let sections: Vec<&str> = alarm
        .roads
        .iter()
        .map(|road| road.section.as_str())
        .collect();
    assert_eq!(
        sections,
        [
            "alarm",
            "alarm",
            "alarm spare",
            "alarm chat",
            "alarm page",
            "alarm page"
        ]
    );
    let (one, spare) = (account(&alarm.roads[0]), account(&alarm.roads[2]));
    assert_eq!((one.port, one.tls, one.to.len()), (587, Tls::StartTls, 2));
    assert_eq!((spare.host.as_str(), spare.to.len()), ("smtp.gmail.com", 1));
    assert_eq!((&one.from, spare.from.is_some()), (&None, true));
    let By::Webhook(page) = &alarm.roads[4].by else {
        panic!("{alarm:?}")
    };
    assert_eq!(page.url.as_deref(), Some(PAGERDUTY));
}

#[test]
fn mistakes_are_named_and_what_is_good_is_kept() {
    for (sections, roads, words) in [
        ("[alarm]\nhost = h\nfile = /x\n", 1, "but nobody to tell"),
        (
            "[alarm]\nto = root\nhost = h\nfile = /x\n",
            1,
            "not a full mail address",
        ),
        ("[alarm]\nto = ä@x.example\nhost = h\n", 0, "beyond ASCII"),
        (
            "[alarm]\nto = a@x.example\nhost = h\nuser = u\nfile = /x\n",
            1,
            "no password for it",
        ),
        (
            "[alarm]\nport = 25\nfile = /x\n",
            1,
            "port is given, but no host",
        ),
        ("[alarm]\nwebhook = slack\nfile = /x\n", 1, "no web address"),
        (
            "[alarm]\nwebhook = slcak\nfile = /x\n",
            1,
            "not one of the values",
        ),
        (
            "[alarm]\nwebhook = pagerduty\nwebhook_url = https://x.example/\n",
            0,
            "integration key",
        ),
        (
            "[alarm]\nwebhook_file = x\n",
            0,
            "webhook_file is given, but no webhook",
        ),
        (
            "[alarm]\nwebhook = plain\nwebhook_url = http://x.example/\nfile = /x\n",
            1,
            "can be posted to",
        ),
        (
            "[alarm]\nwebhook = plain\nwebhook_url = https://x.example/\nwebhook_file = f\n",
            0,
            "both webhook_file and webhook_url",
        ),
        ("[alarm spare]\n", 0, "[alarm spare] says no road"),
        (
            "[alram]\nfile = /x\n[alarm a]\nfile = /y\n",
            1,
            "perhaps alarm is meant",
        ),
        (
            "[alarm]\nto = a@x.example\nhost = h.example\ntls = none\nuser = u\npassword_file = p\nfile = /x\n",
            1,
            "in plain text",
        ),
        (
            "[alarm]\nfile = /x\nnonsense\n[alarm",
            1,
            "neither a setting",
        ),
    ] {
        let (alarm, problems) = read(sections);
        assert_eq!(alarm.roads.len(), roads, "{sections}");
        assert!(
            problems.join(" ").contains(words),
            "{sections}: {problems:#?}"
        );
    }
}

#[test]
fn the_rest_of_the_file_may_be_broken() {
    let text = format!(
        "hostname = web1.example.com\nuser = mailer\nnonsense\n[gateway]\nhost\n\
         [gateway a]\nhost = GW.example\nport = x\n[gatewy b]\n{FIRST}[listen\nx = [\u{1}\n"
    );
    let (read, problems) = Emergency::parse(&text, "f");
    assert!(problems.is_empty(), "{problems:#?}");
    assert!(Settings::parse(&text, "f").is_err());
    assert_eq!(read.alarm.roads.len(), 1);
    assert_eq!(read.hostname.as_deref(), Some("web1.example.com"));
    assert_eq!(read.user.as_deref(), Some("mailer"));
    assert_eq!(read.gateways, ["GW.example"]);
    let shared = Emergency::parse(&text.replace("smtp.one.example", "gw.EXAMPLE"), "f").0;
    assert_eq!(shared.shared_with_gateways().count(), 1);
    assert_eq!(read.shared_with_gateways().count(), 0);
}

#[test]
fn paths_count_from_the_folder_of_the_file() {
    let text =
        format!("{FIRST}ca_file = ca\nfile = f\n[alarm c]\nwebhook = slack\nwebhook_file = w\n");
    let (mut read, _) = Emergency::parse(&text, "f");
    read.resolve_paths(std::path::Path::new("/etc/relayd"));
    let text = format!("{:?}", read.alarm);
    for path in [
        "/etc/relayd/p",
        "/etc/relayd/ca",
        "/etc/relayd/f",
        "/etc/relayd/w",
    ] {
        assert!(text.contains(&format!("{path}\"")), "{text}");
    }
}
