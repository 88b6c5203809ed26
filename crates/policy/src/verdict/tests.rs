//! Replies of real gateways and what becomes of the mail.

use super::*;
use smtp::client::{Interruption, Unsupported};

use SoftBounce::{No, Smart, Yes};
use Stage::{Auth, Data, Ehlo, EndOfData, Greeting, Mail, Rcpt, StartTls, Tls};
use Verdict::{Defer, Fail, Gateway};

/// A reply from its text as it came over the wire in one line.
pub(super) fn reply(text: &str) -> Reply {
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    match StatusCode::split_from(rest) {
        Some((status, rest)) => Reply {
            code: code.parse().unwrap(),
            status: Some(status),
            lines: vec![rest.to_owned()],
        },
        None => Reply {
            code: code.parse().unwrap(),
            status: None,
            lines: vec![rest.to_owned()],
        },
    }
}

pub(super) fn server() -> Server {
    Server::new("gw.example.net", "127.0.0.2:2525".parse().unwrap())
}

/// One with the rules that come with relayd, for a gateway of no known provider.
pub(super) fn judge(soft_bounce: SoftBounce) -> Judge<'static> {
    static RULES: Rulebook = Rulebook::built_in();
    Judge {
        rules: &RULES,
        provider: None,
        soft_bounce,
    }
}

fn ruled(stage: Stage, text: &str, soft_bounce: SoftBounce) -> Ruling {
    judge(soft_bounce).classify(stage, &reply(text))
}

/// The rows of a table, their cells separated by `|`.
fn rows<const N: usize>(table: &str) -> Vec<[&str; N]> {
    let cells = table
        .lines()
        .map(|line| line.splitn(N, '|').map(str::trim).collect::<Vec<_>>());
    cells.map(|cells| cells.try_into().unwrap()).collect()
}

fn stage_named(name: &str) -> Stage {
    let all = [
        Stage::Connect,
        Greeting,
        Ehlo,
        StartTls,
        Tls,
        Auth,
        Mail,
        Rcpt,
        Data,
        EndOfData,
        Stage::Idle,
    ];
    all.into_iter()
        .find(|stage| format!("{stage:?}") == name)
        .unwrap()
}

const R: Scope = Scope::Recipient;
const M: Scope = Scope::Message;

/// Stage, kind of trouble, `dsn=`, reply.
const BEFORE: &str = "\
Connect  | Refused5xx | 4.7.1 | 554 5.7.1 No SMTP service for you
Greeting | Refused4xx | 4.3.2 | 421 4.3.2 Service not available, too busy
Greeting | Refused5xx | 4.0.0 | 554 daily relay quota
Ehlo     | Refused5xx | 4.1.1 | 550 5.1.1 user unknown
StartTls | Refused4xx | 4.7.0 | 454 4.7.0 TLS not available
StartTls | Tls        | 4.5.1 | 502 5.5.1 what
Auth     | Auth       | 4.7.8 | 535 5.7.8 Error: authentication failed
Auth     | NoAuth     | 4.7.9 | 534 5.7.9 mechanism too weak
Auth     | Auth       | 4.7.1 | 525 5.7.1 Unauthorized IP address
Auth     | Refused4xx | 4.7.0 | 454 4.7.0 Temporary authentication failure
Idle     | Refused4xx | 4.4.2 | 421 4.4.2 idle
";

#[test]
fn before_a_transaction_everything_is_about_the_gateway() {
    for [stage, kind, code, text] in rows(BEFORE) {
        for soft_bounce in [Smart, Yes, No] {
            let ruling = ruled(stage_named(stage), text, soft_bounce);
            let Gateway(found) = ruling.verdict else {
                panic!("{stage} {text}: {ruling:?}")
            };
            assert_eq!(format!("{found:?}"), kind, "{stage} {text}");
            assert_eq!(ruling.code.to_string(), code, "{text}");
            assert_eq!(ruling.status, Status::Deferred, "{text}");
        }
    }
}

/// Stage, verdict, cause, effect, reply.
const TEMPORARY: &str = "\
Rcpt      | Defer(Recipient)    | Temporary         | BackOff   | 450 4.2.1 <defer1@x>: Mailbox busy, try later
Rcpt      | Defer(Recipient)    | Temporary         | BackOff   | 450 4.1.1 user unknown
Rcpt      | Defer(Recipient)    | TooManyRecipients | BackOff   | 452 4.5.3 too many recipients
Mail      | Defer(Message)      | Temporary         | BackOff   | 451 4.3.0 Temporary failure
Data      | Defer(Message)      | Temporary         | BackOff   | 451 try later
EndOfData | Gateway(Refused4xx) | Rate              | SlowDown  | 454 Throttling failure: Maximum sending rate exceeded
EndOfData | Gateway(Refused4xx) | Quota             | PauseUntil(Some(Last(86400s))) | 454 Throttling failure: Daily message quota exceeded
EndOfData | Gateway(Refused4xx) | Temporary         | BackOff   | 452 4.3.1 Insufficient system storage
Mail      | Gateway(Refused4xx) | Account           | Park      | 450 5.7.0 Your SMTP account is not activated
Rcpt      | Gateway(Refused4xx) | SessionOver       | Reconnect | 421 4.4.2 idle for too long
Mail      | Defer(Sender)       | Sender            | BackOff   | 451 4.0.0 invalid return path: not owned by user
";

#[test]
fn temporary_refusals_keep_the_mail() {
    for soft_bounce in [Smart, Yes, No] {
        for [stage, verdict, cause, effect, text] in rows(TEMPORARY) {
            let ruling = ruled(stage_named(stage), text, soft_bounce);
            let found = (ruling.verdict, ruling.cause, ruling.effect);
            let names = (
                format!("{:?}", found.0),
                format!("{:?}", found.1),
                format!("{:?}", found.2),
            );
            let expected = (verdict.to_owned(), cause.to_owned(), effect.to_owned());
            assert_eq!(names, expected, "{stage} {text}");
            assert_eq!(
                (ruling.code.class(), ruling.status),
                (4, Status::Deferred),
                "{text}"
            );
        }
    }
}

#[test]
fn some_refusals_in_a_transaction_are_about_the_gateway() {
    for soft_bounce in [Smart, Yes, No] {
        for stage in [Mail, Rcpt, Data] {
            for (text, kind, effect) in [
                (
                    "421 4.3.2 closing",
                    TroubleKind::Refused4xx,
                    Effect::Reconnect,
                ),
                (
                    "530 Authentication required",
                    TroubleKind::NoAuth,
                    Effect::Park,
                ),
            ] {
                let ruling = ruled(stage, text, soft_bounce);
                let found = (ruling.verdict, ruling.effect);
                assert_eq!(found, (Gateway(kind), effect), "{stage:?} {text}");
            }
        }
        let text = "530 5.7.0 Must issue a STARTTLS command first";
        assert_eq!(
            ruled(Mail, text, soft_bounce).verdict,
            Gateway(TroubleKind::Tls)
        );
        let text = "550 5.7.1 authentication required";
        assert_eq!(
            ruled(Mail, text, soft_bounce).verdict,
            Gateway(TroubleKind::NoAuth)
        );
    }
}

/// One recipient's own affair must not stop the mail of all others.
#[test]
fn what_would_stop_the_gateway_does_not_where_others_were_served() {
    let text = "554 5.7.1 <x@y>: Relay access denied";
    let alone = ruled(Rcpt, text, Smart);
    assert_eq!(alone.verdict, Gateway(TroubleKind::Refused5xx));
    assert_eq!(alone.beside_others().verdict, Defer(R));
    let slow = ruled(Rcpt, "450 too many messages, slow down", Smart);
    assert_eq!(
        slow.clone().beside_others(),
        slow,
        "that is about all of them"
    );
}

#[test]
fn an_answer_that_names_nobody_fails_nobody_of_several() {
    let refusal = Refusal::Reply {
        stage: EndOfData,
        reply: reply("550 5.1.1 User unknown"),
    };
    let ruled = |recipients| judge(Smart).of_refusal(&server(), &refusal, recipients).0;
    assert_eq!(ruled(1).verdict, Fail(R));
    let of_two = ruled(2);
    assert_eq!((of_two.verdict, of_two.code.class()), (Defer(M), 4));
    assert_eq!(of_two.status, Status::Deferred);
}

#[test]
fn accepted_and_not_sent() {
    let accepted = |text: &str| judge(Smart).of_acceptance(EndOfData, &reply(text));
    let ruling = accepted("254 4.7.1 Suppression for user ocid1 to x@example.com").unwrap();
    assert_eq!((ruling.verdict, ruling.cause), (Fail(R), Cause::Suppressed));
    assert_eq!(ruling.code.class(), 5);
    for text in [
        "250 2.0.0 OK",
        "250 Message queued",
        "250 ok suppression list checked",
    ] {
        assert_eq!(accepted(text), None, "{text}");
    }
}

#[test]
fn the_recipient_fails_where_it_is_clearly_at_fault() {
    let texts = [
        "550 5.1.1 <bounce1@x>: Recipient address rejected: User unknown",
        "550 5.1.1 The email account that you tried to reach does not exist",
        "550 Requested action not taken: mailbox unavailable",
        "550 No such user here",
        "550 5.1.2 bad host",
        "553 5.1.3 bad address syntax",
        "550 5.1.6 moved",
        "556 5.1.10 recipient domain has a null MX",
        "556 Domain does not accept mail",
        "550 5.2.1 The email account that you tried to reach is disabled",
        "550 5.7.13 user account disabled",
        "551 user not local; does not exist",
        "552 5.2.2 Mailbox full",
        "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)",
        "554 recipient is on the suppression list",
        "552 5.3.4 too big for this mailbox",
    ];
    for text in texts {
        let ruling = ruled(Rcpt, text, Smart);
        assert_eq!(
            (ruling.verdict, ruling.status, ruling.code.class()),
            (Fail(R), Status::Bounced, 5),
            "{text}"
        );
        let ruling = ruled(Rcpt, text, Yes);
        assert_eq!(
            (ruling.verdict, ruling.status, ruling.code.class()),
            (Defer(R), Status::SoftBounce, 4),
            "{text}"
        );
        assert_eq!(ruled(Rcpt, text, No).verdict, Fail(R), "{text}");
    }
}

#[test]
fn the_message_fails_where_it_is_clearly_at_fault() {
    let cases = [
        (
            EndOfData,
            "552 5.3.4 Message size exceeds fixed limit",
            Cause::TooLarge,
        ),
        (EndOfData, "552 message too large", Cause::TooLarge),
        (
            Mail,
            "552 5.3.4 Message size exceeds fixed limit",
            Cause::TooLarge,
        ),
        (EndOfData, "554 5.6.0 bad content", Cause::Content),
        (EndOfData, "554 5.6.7 conversion needed", Cause::Content),
        (EndOfData, "552 5.7.1 virus found", Cause::Content),
        (EndOfData, "554 5.7.1 Message content rejected", Cause::Spam),
        (EndOfData, "554 5.4.6 too many hops", Cause::Loop),
        (EndOfData, "550 5.7.1 missing From header", Cause::Content),
    ];
    for (stage, text, cause) in cases {
        let ruling = ruled(stage, text, Smart);
        assert_eq!(
            (ruling.verdict, ruling.cause, ruling.status),
            (Fail(M), cause, Status::Bounced),
            "{text}"
        );
        assert_eq!(ruled(stage, text, Yes).verdict, Defer(M), "{text}");
        assert_eq!(ruled(stage, text, No).verdict, Fail(M), "{text}");
    }
}

/// Stage, verdict, cause, reply.
const OUR_AFFAIR: &str = "\
Mail      | Defer(Sender)       | Sender            | 550 5.7.1 Sender address not allowed
EndOfData | Defer(Sender)       | Sender            | 554 Message rejected: Email address is not verified. The following identities failed
EndOfData | Defer(Sender)       | Sender            | 554 5.2.252 SendAsDenied; x@y not allowed to send as z@y
Rcpt      | Defer(Sender)       | Sender            | 553 5.7.1 <a@b>: Sender address rejected: not owned by user c
Mail      | Defer(Sender)       | Sender            | 535 Authorization failed: address x not an approved sender
EndOfData | Defer(Sender)       | Sender            | 550 The from address does not match a verified Sender Identity
EndOfData | Gateway(Refused5xx) | Quota             | 550 5.4.5 Daily user sending limit exceeded. https://support.google.com/a/answer/166852
EndOfData | Gateway(Refused5xx) | Quota             | 554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException
EndOfData | Gateway(Refused5xx) | Quota             | 550 You have reached your daily email sending quota
Rcpt      | Gateway(Refused5xx) | Quota             | 550 5.7.1 hourly limit exceeded
EndOfData | Gateway(Refused5xx) | Rate              | 550 5.7.0 too many emails per second
Mail      | Gateway(Refused5xx) | Rate              | 550 Too many messages. Try again in 92 seconds.
EndOfData | Gateway(Refused5xx) | Account           | 550 5.4.6 Unusual sending activity detected
Mail      | Gateway(Refused5xx) | Account           | 554 5.1.8 Email Outgoing Blocked
Mail      | Gateway(Refused5xx) | Account           | 554 account suspended
Rcpt      | Gateway(Refused5xx) | RelayDenied       | 554 5.7.1 <ok@relay.test>: Relay access denied
Rcpt      | Gateway(Refused5xx) | RelayDenied       | 550 5.7.1 sorry, relaying denied
Rcpt      | Defer(Recipient)    | HostBlocked       | 554 5.7.1 Client host blocked using zen.example.org
Mail      | Gateway(Refused5xx) | HostBlocked       | 554 5.7.1 Client host blocked using zen.example.org
Rcpt      | Defer(Recipient)    | TooManyRecipients | 550 5.5.3 too many recipients
Rcpt      | Defer(Recipient)    | Recipient         | 550 5.7.1 RESOLVER.RST.AuthRequired; authentication required
Mail      | Defer(Message)      | Protocol          | 555 5.5.4 unsupported parameter
Mail      | Defer(Sender)       | Unclear           | 550 your account exceeds its limit
Rcpt      | Defer(Recipient)    | Unclear           | 550 5.7.1 denied by policy
Rcpt      | Defer(Recipient)    | Unclear           | 550
EndOfData | Defer(Message)      | Unclear           | 554 5.7.1 no
Data      | Defer(Message)      | Unclear           | 554 no valid recipients
";

#[test]
fn what_is_our_own_affair_keeps_the_mail() {
    for [stage, verdict, cause, text] in rows(OUR_AFFAIR) {
        let stage = stage_named(stage);
        let scope = if stage == Rcpt { R } else { M };
        let ruling = ruled(stage, text, Smart);
        assert_eq!(format!("{:?}", ruling.verdict), verdict, "{stage:?} {text}");
        assert_eq!(format!("{:?}", ruling.cause), cause, "{stage:?} {text}");
        assert_eq!(
            (ruling.status, ruling.code.class()),
            (Status::Deferred, 4),
            "{text}"
        );
        assert!(
            ruling.advice.is_some() || matches!(cause, "TooManyRecipients" | "Recipient"),
            "{text}"
        );
        let yes = ruled(stage, text, Yes);
        assert_eq!(yes.verdict, ruling.verdict, "{text}");
        let kept = !matches!(yes.verdict, Gateway(_));
        assert_eq!(yes.status == Status::SoftBounce, kept, "{text}");
        assert_eq!(ruled(stage, text, No).verdict, Fail(scope), "{text}");
    }
    let wait = ruled(Mail, "550 Try again in 92 seconds.", Smart).retry_after;
    assert_eq!(wait, Some(Duration::from_secs(92)));
}

#[test]
fn words_in_addresses_do_not_decide() {
    let ruling = ruled(
        Rcpt,
        "550 5.1.1 <daily.limit@spam.test>: Recipient address rejected: User unknown",
        Smart,
    );
    assert_eq!(ruling.verdict, Fail(R));
    let ruling = ruled(Rcpt, "550 5.7.1 <nosuchuser+user.unknown@x>: denied", Smart);
    assert_eq!(ruling.verdict, Defer(R));
}

#[test]
fn refusals_without_a_reply() {
    let ruled =
        |refusal: Refusal, soft_bounce| judge(soft_bounce).of_refusal(&server(), &refusal, 1);
    let lost = |stage, content_sent| Refusal::Interrupted {
        stage,
        how: Interruption::Closed,
        content_sent,
    };
    let (ruling, text) = ruled(lost(Rcpt, false), Smart);
    assert_eq!(ruling.verdict, Gateway(TroubleKind::Unreachable));
    assert_eq!(
        text,
        "lost connection with gw.example.net[127.0.0.2] while sending RCPT TO"
    );
    assert_eq!(
        ruling.trouble(&text),
        Some(GatewayTrouble::new(TroubleKind::Unreachable, text))
    );
    let (ruling, text) = ruled(lost(EndOfData, true), No);
    assert_eq!(
        (ruling.verdict, ruling.code.to_string().as_str()),
        (Verdict::Uncertain, "4.4.2")
    );
    assert!(
        text.ends_with("while sending end of data -- message may be sent more than once"),
        "{text}"
    );
    let size = || Refusal::Unsupported {
        what: Unsupported::Size {
            size: 31_130,
            limit: 20_000,
        },
    };
    let (ruling, text) = ruled(size(), Smart);
    assert_eq!(
        (ruling.verdict, ruling.code.to_string().as_str()),
        (Fail(M), "5.3.4")
    );
    assert_eq!(
        text,
        "message size 31130 exceeds size limit 20000 of server gw.example.net[127.0.0.2]"
    );
    let (ruling, _) = ruled(size(), Yes);
    assert_eq!(
        (
            ruling.verdict,
            ruling.code.to_string().as_str(),
            ruling.status
        ),
        (Defer(M), "4.3.4", Status::SoftBounce)
    );
    let utf8 = Refusal::Unsupported {
        what: Unsupported::SmtpUtf8,
    };
    assert_eq!(ruled(utf8, Smart).0.code.to_string(), "5.6.7");
    assert_eq!(ruled(Refusal::OtherRefused, No).0.verdict, Defer(M));
}

/// I5: whatever the gateway says before MAIL, no setting makes it fail mail.
#[test]
fn no_code_before_mail_ever_fails_mail() {
    for stage in [
        Stage::Connect,
        Greeting,
        Ehlo,
        StartTls,
        Tls,
        Auth,
        Stage::Rset,
        Stage::Quit,
        Stage::Idle,
    ] {
        for code in 400..600 {
            for soft_bounce in [Smart, Yes, No] {
                let ruling = ruled(stage, &format!("{code} 5.1.1 user unknown"), soft_bounce);
                assert!(matches!(ruling.verdict, Gateway(_)), "{stage:?} {code}");
            }
        }
    }
}

/// A temporary code never fails mail either, at any stage.
#[test]
fn no_temporary_code_ever_fails_mail() {
    for stage in [Mail, Rcpt, Data, EndOfData] {
        for code in (400..500).chain(200..400) {
            let ruling = ruled(
                stage,
                &format!("{code} 5.1.1 user unknown, message too large, virus"),
                No,
            );
            assert!(!matches!(ruling.verdict, Fail(_)), "{stage:?} {code}");
        }
    }
}
