//! The words for trouble, against those that Postfix uses.

use super::super::tests::{judge, reply, server};
use super::*;
use crate::settings::SoftBounce::Smart;

use Stage::{Auth, Data, Ehlo, EndOfData, Greeting, Mail, Rcpt, StartTls, Tls};

#[test]
fn replies_are_reported_in_the_words_of_postfix() {
    let cases = [
        (
            Greeting,
            "554 5.7.1 No SMTP service for you",
            "host gw.example.net[127.0.0.2] refused to talk to me: 554 5.7.1 No SMTP service for you",
        ),
        (
            StartTls,
            "454 no",
            "TLS is required, but host gw.example.net[127.0.0.2] refused to start TLS: 454 no",
        ),
        (
            Auth,
            "535 5.7.8 Error: authentication failed: bad credentials",
            "SASL authentication failed; server gw.example.net[127.0.0.2] said: 535 5.7.8 Error: authentication failed: bad credentials",
        ),
        (
            Mail,
            "550 5.7.1 x",
            "host gw.example.net[127.0.0.2] said: 550 5.7.1 x (in reply to MAIL FROM command)",
        ),
        (
            Rcpt,
            "450 4.2.1 <a@x>: Mailbox busy",
            "host gw.example.net[127.0.0.2] said: 450 4.2.1 <a@x>: Mailbox busy (in reply to RCPT TO command)",
        ),
        (
            Data,
            "451 x",
            "host gw.example.net[127.0.0.2] said: 451 x (in reply to DATA command)",
        ),
        (
            EndOfData,
            "451",
            "host gw.example.net[127.0.0.2] said: 451 (in reply to end of DATA command)",
        ),
    ];
    for (stage, text, expected) in cases {
        assert_eq!(said(&server(), stage, &reply(text)), expected);
    }
}

#[test]
fn lines_of_a_reply_are_joined_as_postfix_does() {
    let lines = vec![
        "first line of text".to_owned(),
        "second line of text".to_owned(),
    ];
    let multi = Reply {
        code: 550,
        status: Some(StatusCode::new(5, 7, 1)),
        lines,
    };
    let expected = "host gw.example.net[127.0.0.2] said: 550-5.7.1 first line of text 550 5.7.1 second line of text (in reply to RCPT TO command)";
    assert_eq!(said(&server(), Rcpt, &multi), expected);
    let long = Reply {
        code: 550,
        status: None,
        lines: vec!["x".repeat(5000)],
    };
    let text = said(&server(), Rcpt, &long);
    assert!(text.chars().count() <= 1000 && text.ends_with("... (in reply to RCPT TO command)"));
}

fn told(stage: Stage, kind: FaultKind) -> (TroubleKind, String, String) {
    let Trouble { trouble, code } = judge(Smart).of_fault(&server(), &Fault { stage, kind });
    (
        trouble.kind,
        code.to_string(),
        trouble
            .reason
            .split(" -- ")
            .next()
            .unwrap()
            .replace("gw.example.net[127.0.0.2]", "H[IP]"),
    )
}

#[test]
fn broken_sessions_are_reported_in_the_words_of_postfix() {
    let broken = FaultKind::Interrupted;
    let tls = |text: &str| broken(Interruption::Tls(text.to_owned()));
    let closed = || broken(Interruption::Closed);
    let down = |text: &str| {
        (
            TroubleKind::Unreachable,
            "4.4.2".to_owned(),
            text.to_owned(),
        )
    };
    let greeting = "while receiving the initial server greeting";
    let timed_out = format!("conversation with H[IP] timed out {greeting}");
    assert_eq!(
        told(Greeting, broken(Interruption::Timeout)),
        down(&timed_out)
    );
    let lost = format!("lost connection with H[IP] {greeting}");
    assert_eq!(told(Greeting, closed()), down(&lost));
    let lost = "lost connection with H[IP] while performing the EHLO handshake";
    assert_eq!(told(Ehlo, closed()), down(lost));
    let insecure = |text: &str| (TroubleKind::Tls, "4.7.5".to_owned(), text.to_owned());
    let unverified =
        insecure("Server certificate not verified: invalid peer certificate: UnknownIssuer");
    assert_eq!(
        told(Tls, tls("invalid peer certificate: UnknownIssuer")),
        unverified
    );
    let handshake = insecure("Cannot start TLS: received fatal alert: HandshakeFailure");
    assert_eq!(
        told(Tls, tls("received fatal alert: HandshakeFailure")),
        handshake
    );
}

#[test]
fn what_a_server_lacks_is_reported_in_the_words_of_postfix() {
    let expected = |kind, code: &str, text: &str| (kind, code.to_owned(), text.to_owned());
    let text = "TLS is required, but was not offered by host H[IP]";
    assert_eq!(
        told(Ehlo, FaultKind::NoStartTls),
        expected(TroubleKind::Tls, "4.7.4", text)
    );
    let text = "SASL authentication failed; server H[IP] does not offer AUTH";
    assert_eq!(
        told(Ehlo, FaultKind::NoAuth),
        expected(TroubleKind::NoAuth, "4.7.0", text)
    );
    let text =
        "SASL authentication failed; cannot authenticate to server H[IP]: no mechanism available";
    let lacks = FaultKind::NoMechanism { offered: vec![] };
    assert_eq!(
        told(Auth, lacks),
        expected(TroubleKind::NoAuth, "4.7.0", text)
    );
    let text = "SASL authentication failed; server H[IP] said: 535 5.7.8 no";
    let refused = FaultKind::Reply(reply("535 5.7.8 no"));
    assert_eq!(
        told(Auth, refused),
        expected(TroubleKind::Auth, "4.7.8", text)
    );
    let text = "host H[IP] broke the protocol while performing the EHLO handshake: xyz";
    let odd = FaultKind::Protocol("xyz".to_owned());
    assert_eq!(
        told(Ehlo, odd),
        expected(TroubleKind::Refused5xx, "4.5.0", text)
    );
}

#[test]
fn what_happens_before_a_session_is_reported_in_the_words_of_postfix() {
    let refused = connect_failed(&server(), "Connection refused");
    let text = "connect to gw.example.net[127.0.0.2]:2525: Connection refused";
    assert_eq!(
        refused.trouble,
        GatewayTrouble::new(TroubleKind::Unreachable, text)
    );
    assert_eq!(refused.code.to_string(), "4.4.1");
    let unknown = unknown_host(
        "nosuch.example.invalid",
        "Temporary failure in name resolution",
    );
    let text =
        "unable to look up host nosuch.example.invalid: Temporary failure in name resolution";
    assert_eq!(
        unknown.trouble,
        GatewayTrouble::new(TroubleKind::Unreachable, text)
    );
    assert_eq!(unknown.code.to_string(), "4.4.4");
}
