//! Whole settings files, good and bad.

use super::*;

const LEAST: &str = "[gateway main]\nhost = smtp.example.com\n";
/// Whom a gateway may name, and who takes what it does not.
const OTHERS: &str = "[gateway other]\nhost = h\nweight = 1\n[gateway spare]\nhost = h\n";

fn good(text: &str) -> Settings {
    Settings::parse(text, "relayd.conf").unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"))
}

/// What is wrong, as (line, message).
fn wrong(text: &str) -> Vec<(usize, String)> {
    let problems = Settings::parse(text, "relayd.conf").expect_err(text);
    problems
        .into_iter()
        .map(|problem| (problem.line, problem.message))
        .collect()
}

/// A file whose only fault is in these top-level lines.
fn fault(line: &str) -> Problem {
    let mut problems = Settings::parse(&format!("{line}\n{LEAST}"), "relayd.conf").expect_err(line);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.remove(0)
}

#[test]
fn the_committed_sample_is_the_one_made_here() {
    assert_eq!(sample(), include_str!("../../../../etc/relayd.conf"));
}

#[test]
fn the_sample_is_a_good_file_and_shows_every_key() {
    let text = sample();
    let mut settings = good(&text);
    let gateway = settings.gateways.remove(0);
    assert_eq!(
        gateway.password,
        Some(PasswordSource::File("/etc/relayd/secrets/main".into()))
    );
    assert_eq!(
        Settings {
            gateways: vec![],
            ..settings
        },
        Settings {
            gateways: vec![],
            ..good(LEAST)
        }
    );
    for key in KEYS {
        assert!(text.contains(&format!("{} = ", key.name)), "{}", key.name);
    }
    assert!(text.lines().all(|line| line.len() <= 99));
}

/// What must stand beside a key in its section.
fn needed(key: &Key) -> &'static str {
    match (key.section, key.name) {
        (Section::Gateway, "user") => "host = h\npassword_file = x\n",
        (Section::Gateway, "host") => "",
        (Section::Gateway, name) if name.starts_with("password_") => "host = h\nuser = u\n",
        (Section::Gateway, name) if name.starts_with("from_") && name != "from_default" => {
            "host = h\nfrom_default = a@b.example\n"
        }
        (Section::Gateway, "quota_from" | "quota_reset" | "reserve" | "overflow") => {
            "host = h\nquota = 5/day\n"
        }
        (Section::Gateway, "fallback_after") => "host = h\nfallback = other\n",
        (Section::Gateway, _) => "host = h\n",
        (Section::From, "allow" | "name" | "policy") => "default = a@b.example\n",
        (Section::Limits, "burst" | "over_rate") => "rate = 9/h\n",
        (Section::Listen, "submission") => "tls_cert = c\ntls_key = k\nusers_file = u\n",
        (Section::Listen, "tls_cert") => "tls_key = k\n",
        (Section::Listen, "tls_key") => "tls_cert = c\n",
        (Section::Alarm, name) => needed_for_alarms(name),
        _ => "",
    }
}

fn needed_for_alarms(name: &str) -> &'static str {
    match name {
        "to" => "host = h\n",
        "host" => "to = a@b.example\n",
        "user" => "to = a@b.example\nhost = h\npassword_file = x\n",
        "webhook" => "webhook_url = https://a.example/\n",
        "command" | "file" => "",
        "heartbeat_every" => "heartbeat_url = https://a.example/\n",
        name if name.starts_with("webhook_") => "webhook = plain\n",
        name if name.starts_with("password_") => "to = a@b.example\nhost = h\nuser = u\n",
        _ => "to = a@b.example\nhost = h\n",
    }
}

/// Each key's example, in a file of its own with what it needs, changes what is read from it.
#[test]
fn every_key_is_read() {
    for key in KEYS.iter().filter(|key| key.name != "provider") {
        let heading = |section: Section| match section {
            Section::Top => String::new(),
            Section::Gateway => "[gateway main]\n".to_owned(),
            other => format!("[{}]\n", other.word()),
        };
        let needs = needed(key);
        let other = [
            ("port", "26"),
            ("max_connections", "7"),
            ("tls", "none"),
            ("deliver", "capture:/x"),
            ("name", "postfix"),
            ("to", "stderr"),
            ("quota_from", "7"),
            ("reserve", "7%"),
            ("overflow", "other"),
            ("over_rate", "hold"),
            ("weight", "7"),
        ];
        let other = other
            .iter()
            .find(|(name, _)| {
                *name == key.name && (key.section, key.name) != (Section::Alarm, "to")
            })
            .map(|(_, value)| *value);
        let value = other.unwrap_or(match key.kind {
            Kind::Size => "3M",
            Kind::Duration => "3h",
            Kind::Users => "joe",
            Kind::SoftBounce => "no",
            Kind::FromPolicy => "refuse",
            Kind::NameForm => "The site",
            Kind::Login => "mail",
            Kind::Path | Kind::PathOrNone => "/some/where",
            _ => key.example,
        });
        let gateway = if key.section == Section::Gateway {
            OTHERS
        } else {
            LEAST
        };
        let text = format!(
            "{}{needs}{} = {value}\n{gateway}",
            heading(key.section),
            key.name
        );
        let without = match key.name {
            _ if key.section == Section::Top => LEAST.to_owned(),
            "to" | "webhook" | "webhook_url" | "webhook_file" | "webhook_credential" => {
                LEAST.to_owned()
            }
            "host" => format!("{}{OTHERS}", LEAST.replace("smtp.", "mail.")),
            "user" | "password_file" | "password_command" | "password_credential" => {
                let to = match key.section {
                    Section::Alarm => "to = a@b.example\n",
                    _ => "",
                };
                format!("{}host = h\n{to}{gateway}", heading(key.section))
            }
            _ => format!("{}{needs}{gateway}", heading(key.section)),
        };
        let without = match key.name {
            "submission" | "tls_cert" | "tls_key" => LEAST.to_owned(),
            _ => without,
        };
        assert_ne!(good(&text), good(&without), "{}", key.name);
        good(&text.replace(value, key.example));
    }
}

#[test]
fn defaults_hold() {
    let settings = good(LEAST);
    assert_eq!(settings.message_size_limit, 26_214_400);
    assert_eq!(settings.queue_lifetime, Duration::from_secs(432_000));
    assert_eq!(settings.soft_bounce, SoftBounce::Smart);
    assert_eq!(
        (settings.mailq_users, settings.flush_users),
        (Users::Any, Users::Any)
    );
    assert_eq!(
        (settings.hostname, settings.domain, settings.root),
        (None, None, None)
    );
    assert_eq!(settings.user.as_deref(), Some("relayd"));
    assert_eq!(
        settings.paths,
        Paths {
            spool: "/var/spool/relayd".into(),
            run: "/run/relayd".into()
        }
    );
    assert_eq!(
        settings.log,
        Log {
            name: "relayd".to_owned(),
            to: LogTarget::Syslog
        }
    );
    assert_eq!(settings.aliases.as_deref(), Some(Path::new("/etc/aliases")));
    assert_eq!(settings.rewrite, Rewrite::default());
    assert!(settings.listen.smtp.is_empty() && settings.listen.submission.is_empty());
    let gateway = Gateway {
        name: "main".to_owned(),
        deliver: Deliver::Smtp,
        provider: None,
        host: "smtp.example.com".to_owned(),
        port: 587,
        tls: Tls::StartTls,
        tls_name: "smtp.example.com".to_owned(),
        ca_file: None,
        user: None,
        password: None,
        max_connections: 4,
        max_messages_per_connection: None,
        max_recipients: None,
        idle_close: Duration::from_secs(5),
        rate: None,
        quota: Quota::default(),
        fallback: None,
        weight: 1,
        takes: Takes::default(),
        spare: false,
        helo_name: None,
        from: crate::from::Rules::default(),
    };
    assert_eq!(settings.gateways, [gateway]);
}

#[test]
fn ports_and_tls_follow_each_other() {
    let cases = [
        ("", 587, Tls::StartTls),
        ("tls = implicit", 465, Tls::Implicit),
        ("tls = none", 25, Tls::None),
        ("port = 465", 465, Tls::Implicit),
        ("port = 2525", 2525, Tls::StartTls),
        ("port = 465\ntls = starttls", 465, Tls::StartTls),
    ];
    for (lines, port, tls) in cases {
        let gateway = good(&format!("{LEAST}{lines}\n")).gateways.remove(0);
        assert_eq!((gateway.port, gateway.tls), (port, tls), "{lines}");
    }
}

#[test]
fn lines_are_read_generously_where_nothing_is_unclear() {
    let text = "\r\n  # comment\r\n; comment\n\tdomain=example.com\r\n[ paths ]\n  spool  =  /s p\n[gateway  main]\nhost=h\npassword_command = \"/a b\" c\nuser = a@b:c\\d\n";
    let settings = good(text);
    assert_eq!(settings.domain.as_deref(), Some("example.com"));
    assert_eq!(settings.paths.spool, Path::new("/s p"));
    let gateway = &settings.gateways[0];
    assert_eq!(
        gateway.password,
        Some(PasswordSource::Command("\"/a b\" c".to_owned()))
    );
    assert_eq!(gateway.user.as_deref(), Some("a@b:c\\d"));
}

#[test]
fn each_mistake_is_named_with_its_line_and_a_remedy() {
    let cases = [
        ("\u{feff}user = x", "byte order mark", "without"),
        ("user", "neither a setting nor", "name = value"),
        ("user: x", "neither a setting nor", "name = value"),
        ("user = x\\", "backslash", "one line"),
        ("user = x\u{1b}", "control character", "remove"),
        ("user = x # me", "followed by a comment", "line of its own"),
        ("user = x ;me", "followed by a comment", "line of its own"),
        ("user =", "no value", "default"),
        ("user = \"x\"", "quotes", "remove"),
        ("hostnmae = x", "\"hostnmae\"", "perhaps hostname"),
        ("zebra = x", "\"zebra\"", "relayd.conf(5)"),
        ("host = x", "\"host\"", "belongs in [gateway NAME]"),
        ("= x", "\"\"", "relayd.conf(5)"),
        ("[path]", "[path]", "perhaps paths"),
        ("[paths] x = y", "text follows", "of its own"),
        ("[paths", "] is missing", "of its own"),
        ("[paths x]", "takes no name", "without \"x\""),
        ("[gateway]", "does not name", "[gateway NAME]"),
        ("[gateway a b]", "does not name", "[gateway NAME]"),
        ("message_size_limit = 25X", "not a size", "25M"),
        ("message_size_limit = ten", "not a size", "25M"),
        ("queue_lifetime = 5", "no unit", "5d"),
        ("queue_lifetime = 5 days", "not a span", "5d"),
        ("soft_bounce = maybe", "\"maybe\"", "smart, yes, no"),
        ("hostname = a b", "not a host name", "mail.example.com"),
        (
            "root = root",
            "not a full mail address",
            "admin@example.com",
        ),
        ("mailq_users = a!b", "not a login name", "/etc/passwd"),
        (
            "[listen]\nsmtp = 0.0.0.0:25",
            "can be reached from other hosts",
            "127.0.0.1:25",
        ),
        ("[listen]\nallow = 0.0.0.0/0", "open relay", "172.17.0.0/16"),
        (
            "[listen]\nallow = 10.1.2.3/8",
            "within a network",
            "10.0.0.0/8",
        ),
        ("[limits]\nmax_recipients = 99", "100 to 10000", "100"),
        (
            "[limits]\nmax_header_size = 2M",
            "between 16K and 1M",
            "256K",
        ),
        (
            "[listen]\nsmtp = localhost",
            "not an address with a port",
            "127.0.0.1:25",
        ),
        (
            "[listen]\nsubmission = 0.0.0.0:587",
            "without tls_cert, tls_key, users_file",
            "add",
        ),
        ("[listen]\ntls_cert = x", "without tls_key", "add"),
        ("[log]\nto = journal", "\"journal\"", "syslog"),
        ("[paths]\nspool = ~/x", "~", "whole path"),
    ];
    for (lines, message, remedy) in cases {
        let problem = fault(lines);
        assert!(problem.message.contains(message), "{lines}: {problem}");
        assert!(problem.remedy.contains(remedy), "{lines}: {problem}");
        assert_eq!(problem.line, lines.lines().count(), "{lines}: {problem}");
        assert_eq!(problem.file, "relayd.conf");
    }
}

#[test]
fn gateways_are_checked_as_a_whole() {
    let cases = [
        ("port = 25", "has no host"),
        (
            "host = h\ntls = none\nuser = u\npassword_file = f",
            "in plain text",
        ),
        ("host = h\nuser = u", "no password"),
        ("host = h\npassword_file = f", "no user"),
        (
            "host = h\nuser = u\npassword_file = f\npassword_command = c",
            "both password_file and password_command",
        ),
        ("host = h:25", "neither a host name"),
        ("host = h\nport = 0", "out of range"),
        ("host = h\nport = smtp", "not a number"),
        ("host = h\nmax_connections = 101", "out of range"),
        ("host = h\nrate = 5", "not a rate"),
        ("host = h\nquota = 5", "not a quota"),
        ("host = h\nreserve = 5%", "nothing without quota"),
        ("host = h\nfallback_after = 5m", "nothing without fallback"),
        ("host = h\nfallback = main", "names the gateway itself"),
        ("host = h\nmax_recipients = 0", "out of range"),
        ("host = h\ntls = yes", "\"yes\""),
        ("host = h\ndeliver = maildir", "not a way"),
    ];
    for (lines, message) in cases {
        let problems = wrong(&format!("[gateway main]\n{lines}\n"));
        assert_eq!(problems.len(), 1, "{lines}: {problems:?}");
        assert!(problems[0].1.contains(message), "{lines}: {problems:?}");
    }
    good("[gateway main]\nhost = 127.0.0.1\ntls = none\nuser = u\npassword_file = f\n");
    let capture = good("[gateway main]\ndeliver = capture:/var/tmp/mail\n")
        .gateways
        .remove(0);
    assert_eq!(
        (capture.deliver, capture.host.as_str()),
        (Deliver::Capture("/var/tmp/mail".into()), "main")
    );
}

#[test]
fn there_is_a_gateway() {
    assert_eq!(wrong("user = x\n").len(), 1);
    assert_eq!(wrong("")[0].0, 0);
}

#[test]
fn what_stands_twice_is_refused() {
    let again = wrong(&format!("user = a\nuser = b\n{LEAST}"));
    assert_eq!(again, [(2, "user is set a second time".to_owned())]);
    let again = wrong(&format!(
        "{LEAST}[log]\n[gateway  main]\nnot looked at = x\n"
    ));
    assert_eq!(
        again,
        [(4, "[gateway main] stands here a second time".to_owned())]
    );
    let shared = "[listen]\nsmtp = 127.0.0.1:25\nsubmission = 127.0.0.1:25\ntls_cert = c\ntls_key = k\nusers_file = u\n";
    assert_eq!(wrong(&format!("{LEAST}{shared}"))[0].0, 5);
}

#[test]
fn a_password_in_the_file_is_refused_and_not_repeated() {
    for name in ["password", "Password", "pass", "passwd"] {
        let text = format!("{LEAST}user = u\npassword_file = f\n{name} = hunter2\n");
        let problems = Settings::parse(&text, "relayd.conf").unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].line, 5);
        assert!(problems[0].remedy.contains("password_file"));
        assert!(!problems[0].to_string().contains("hunter2"));
    }
    for line in [
        "hunter2",
        "passwort = hunter2",
        "password: hunter2",
        "[gatway hunter2",
        "password = hunter2 # x",
        "password = \"hunter2\"",
    ] {
        let problems = Settings::parse(&format!("{LEAST}{line}\n"), "relayd.conf").unwrap_err();
        assert!(
            !problems
                .iter()
                .any(|problem| problem.to_string().contains("hunter2")),
            "{line}"
        );
    }
}

#[test]
fn all_problems_are_reported_in_the_order_of_lines() {
    let text =
        "user = a b\nzebra = 1\n[paths\n[listen]\nsmtp = x\nsubmission = y\n[log]\nname = \u{e9}\n";
    let lines: Vec<usize> = wrong(text).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [1, 2, 3, 5, 6, 8, 0]);
    assert_eq!(wrong(&"zebra\n".repeat(1000)).len(), 100);
    assert_eq!(wrong(&" ".repeat(300_000)).len(), 2);
}

#[test]
fn problems_print_on_one_line() {
    let problem = fault("user = \"\u{202e}");
    assert_eq!(problem.to_string().lines().count(), 1);
    assert!(
        problem
            .to_string()
            .starts_with("relayd.conf:1: the value of user stands in quotes")
    );
    assert!(wrong("")[0].1.starts_with("no gateway"));
}

#[test]
fn relative_paths_count_from_a_folder() {
    let mut settings = good(
        "[paths]\nspool = s\n[gateway main]\nhost = h\nca_file = ca\nuser = u\npassword_file = p\n\
         [listen]\ntls_cert = c\ntls_key = /k\nusers_file = u\n[log]\nto = ./log\n\
         [replies]\nfile = rules\n[aliases]\nfile = a\n[rewrite]\nsenders = s\nrecipients = /r\n",
    );
    settings.resolve_paths(Path::new("/etc/relayd"));
    assert_eq!(
        settings.paths,
        Paths {
            spool: "/etc/relayd/s".into(),
            run: "/run/relayd".into()
        }
    );
    assert_eq!(settings.gateways[0].ca_file, Some("/etc/relayd/ca".into()));
    assert_eq!(
        settings.gateways[0].password,
        Some(PasswordSource::File("/etc/relayd/p".into()))
    );
    assert_eq!(settings.listen.tls_key, Some("/k".into()));
    assert_eq!(settings.aliases, Some("/etc/relayd/a".into()));
    assert_eq!(settings.replies, Some("/etc/relayd/rules".into()));
    assert_eq!(settings.rewrite.senders, Some("/etc/relayd/s".into()));
    assert_eq!(settings.rewrite.recipients, Some("/r".into()));
    assert_eq!(settings.listen.users_file, Some("/etc/relayd/u".into()));
    assert_eq!(settings.log.to, LogTarget::File("/etc/relayd/./log".into()));
}

#[test]
fn users_are_compared_by_login_name() {
    let list = Users::List(vec!["joe".to_owned()]);
    assert!(list.allows(Some("joe")) && !list.allows(Some("jo")) && !list.allows(None));
    assert!(Users::Any.allows(None));
}

#[test]
fn the_manual_page_names_every_key() {
    let page = manual();
    for key in KEYS {
        assert!(page.contains(&format!(".B {}\n", key.name)), "{}", key.name);
    }
}

proptest::proptest! {
    /// Whatever the text, reading it ends, and problems lie inside the file.
    #[test]
    fn any_text_is_read_safely(text in "(?s)([\\[\\]=#;:\\\\ \n\t\r\"]|host|user|gateway main|log|\\PC){0,80}") {
        if let Err(problems) = Settings::parse(&text, "f") {
            for problem in problems {
                proptest::prop_assert!(problem.line <= text.lines().count().max(1));
            }
        }
    }
}
