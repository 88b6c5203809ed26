//! A gateway that cannot be used as the settings stand: nothing is bounced, nothing goes in clear, `mailq` says why in
//! words, and everything goes out once the fault is corrected.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use tests::certificate::{Authority, Validity};
use tests::gateway::{Gateway, Setup, Tls};
use tests::rig::{Access, Rig};

const LIMIT: Duration = Duration::from_secs(30);
/// Where relayd must find out by itself that the gateway has changed: its slowest probe is 60 s (DESIGN.md I6).
const SLOW: Duration = Duration::from_secs(75);
const MESSAGES: usize = 3;
const BODY: &str = "only for the eyes of the gateway";

struct Case {
    gateway: Gateway,
    rig: Rig,
    authority: Authority,
}

/// A provider and settings for it, spoilt by `spoil`; messages are queued.
fn queued(spoil: impl FnOnce(&Authority, &Gateway, &mut Access)) -> Case {
    let authority = Authority::new();
    let gateway = Gateway::start(Setup::provider(
        authority.issue("gateway.test", Validity::Current),
    ));
    let mut access = Rig::access_to(&gateway, &authority);
    spoil(&authority, &gateway, &mut access);
    let rig = Rig::started(access);
    for number in 0..MESSAGES {
        let recipient = format!("r{number}@x.test");
        rig.send(
            &["-i", "-f", "app@test.example", &recipient],
            format!("Subject: s\n\n{BODY}\n").as_bytes(),
        );
    }
    Case {
        gateway,
        rig,
        authority,
    }
}

impl Case {
    /// `mailq` gives one of `words` as the reason, all messages wait, none bounced, none left, and nothing but the
    /// opening of the dialogue was said in clear.
    #[track_caller]
    fn expect_waiting_because(&self, words: &str) {
        let end = Instant::now() + LIMIT;
        let listing = loop {
            let listing = self.rig.expect_mailq("(", LIMIT);
            if listing.to_lowercase().contains(words) {
                break listing;
            }
            assert!(
                Instant::now() < end,
                "mailq does not say {words:?}:\n{listing}"
            );
        };
        tests::report::show(&listing);
        assert!(
            listing.ends_with(&format!(" Kbytes in {MESSAGES} Requests.\n")),
            "{listing}"
        );
        assert!(
            !self.rig.log().contains("status=bounced"),
            "bounced:\n{}",
            self.rig.log()
        );
        let record = self.gateway.record();
        assert!(record.deliveries.is_empty());
        let clear = String::from_utf8_lossy(&record.in_clear).into_owned();
        for secret in ["AUTH", "MAIL", "RCPT", "correct horse", BODY] {
            assert!(
                !clear.contains(secret),
                "{secret:?} went in clear:\n{clear}"
            );
        }
        self.gateway.expect_good_manners();
    }

    /// [`Case::expect_all_out`] with the time it takes noted under `what`.
    #[track_caller]
    fn expect_correction(&self, what: &str, limit: Duration) {
        let begin = Instant::now();
        self.expect_all_out(limit);
        let took = begin.elapsed();
        tests::report::number(
            "refusing_gateway",
            &format!("{what} corrected, all out {took:.2?} later"),
        );
    }

    #[track_caller]
    fn expect_all_out(&self, limit: Duration) {
        let all = self.gateway.expect(MESSAGES, limit);
        assert_eq!(all.len(), MESSAGES);
        assert!(
            all.iter()
                .all(|d| d.encrypted && d.user.is_some() && d.sender == "app@test.example")
        );
        self.rig.expect_empty_queue(LIMIT);
        assert!(!self.rig.log().contains("status=bounced"));
    }
}

#[test]
fn wrong_password() {
    let mut case = queued(|_, _, access| {
        access.login = Some(("relay-user".to_owned(), "wrong".to_owned()));
    });
    case.expect_waiting_because("authentication fail");
    assert_eq!(
        case.gateway.read(|r| r.refused_logins),
        1,
        "a refused password is not tried again: accounts get locked"
    );
    let right = Rig::access_to(&case.gateway, &case.authority).login;
    case.rig.change(|access| access.login = right);
    case.rig.reload();
    case.expect_correction("wrong password", LIMIT);
}

#[test]
fn expired_certificate() {
    let case = queued(|authority, gateway, _| {
        let expired = authority.issue("gateway.test", Validity::Expired);
        gateway.change(|setup| setup.identity = Some(expired));
    });
    case.expect_waiting_because("expired");
    let renewed = case.authority.issue("gateway.test", Validity::Current);
    case.gateway.change(|setup| setup.identity = Some(renewed));
    case.expect_correction("expired certificate", SLOW);
}

#[test]
fn wrong_name_in_the_certificate() {
    let mut case = queued(|_, _, access| access.tls_name = Some("other.test".to_owned()));
    case.expect_waiting_because("another host name");
    case.rig
        .change(|access| access.tls_name = Some("gateway.test".to_owned()));
    case.rig.reload();
    case.expect_correction("wrong name in the certificate", LIMIT);
}

#[test]
fn unknown_authority() {
    let stranger = Authority::new().pem;
    let mut case = queued(|_, _, access| access.authority_pem = Some(stranger));
    case.expect_waiting_because("certificate");
    let known = case.authority.pem.clone();
    case.rig.change(|access| access.authority_pem = Some(known));
    case.rig.reload();
    case.expect_correction("unknown authority", LIMIT);
}

#[test]
fn auth_is_not_offered() {
    let case = queued(|_, gateway, _| gateway.change(|setup| setup.mechanisms.clear()));
    case.expect_waiting_because("auth");
    case.gateway
        .change(|setup| setup.mechanisms = vec!["LOGIN"]);
    case.expect_correction("auth is not offered", SLOW);
}

#[test]
fn tls_is_not_offered() {
    let case = queued(|_, gateway, _| {
        gateway.change(|setup| (setup.tls, setup.tls_required) = (Tls::None, false));
    });
    case.expect_waiting_because("tls is required, but was not offered");
    case.gateway
        .change(|setup| (setup.tls, setup.tls_required) = (Tls::StartTls, true));
    case.expect_correction("tls is not offered", SLOW);
}

#[test]
fn every_mechanism_and_both_kinds_of_tls_work() {
    for (tls, name) in [(Tls::StartTls, "starttls"), (Tls::Implicit, "implicit")] {
        for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5"] {
            let case = queued(|_, gateway, access| {
                gateway.change(|setup| (setup.tls, setup.mechanisms) = (tls, vec![mechanism]));
                access.tls = name;
            });
            case.expect_all_out(LIMIT);
            case.gateway.expect_good_manners();
        }
    }
}
