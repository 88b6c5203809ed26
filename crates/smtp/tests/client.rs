//! Dialogues of the client with servers of every kind, each heard whole and byte by byte.
mod support;

use mail::{Address, Notify, Recipient, Ret, StatusCode};
use smtp::Stage;
use smtp::client::{
    Client, ClientConfig, Fault, FaultKind, Interruption, Refusal, Step, TlsMode, Transaction,
    TransactionReport, Unsupported,
};
use smtp::reply::Reply;
use smtp::sasl::{Credentials, Mechanism, Secret};
use support::{Told, address, play, pump, transaction};

const PLAIN_HELLO: &str = "
    < 220 gw ESMTP
    > EHLO me.example
    < 250-gw
    < 250-SIZE 1000
    < 250-8BITMIME
    < 250-DSN
    < 250 PIPELINING";

fn client(tls: TlsMode) -> Client {
    Client::new(ClientConfig::new("me.example", tls))
}

fn client_with_password(tls: TlsMode, mechanisms: &[Mechanism]) -> Client {
    let mut config = ClientConfig::new("me.example", tls);
    let password = Secret::new("secret".to_owned());
    config.auth = Some(Credentials {
        user: "joe".to_owned(),
        password,
    });
    config.mechanisms = mechanisms.to_vec();
    Client::new(config)
}

/// Plays a script against fresh clients, whole and torn; both must come to the same.
fn both(make: impl Fn() -> Client, script: &str, mail: &[Transaction]) -> (Step, Told) {
    let [whole, torn] = [false, true].map(|torn| {
        let (mut client, mut told) = (make(), Told::default());
        let step = play(&mut client, &mut told, script, mail, torn);
        assert_eq!(told.sent, b"", "more was sent than the script says");
        (step, told)
    });
    assert_eq!(whole.0, torn.0);
    assert_eq!(whole.1.reports, torn.1.reports);
    whole
}

fn after_hello(script: &str, mail: &[Transaction]) -> (Step, Vec<TransactionReport>) {
    let (step, told) = both(
        || client(TlsMode::None),
        &format!("{PLAIN_HELLO}\n{script}"),
        mail,
    );
    (step, told.reports)
}

fn refused(stage: Stage, reply: &Reply) -> Result<Reply, Refusal> {
    Err(Refusal::Reply {
        stage,
        reply: reply.clone(),
    })
}

fn reply(code: u16, status: (u8, u16, u16), text: &str) -> Reply {
    Reply::new(
        code,
        Some(StatusCode::new(status.0, status.1, status.2)),
        text,
    )
}

fn fault(stage: Stage, kind: FaultKind) -> Step {
    Step::Closed(Some(Fault { stage, kind }))
}

#[test]
fn starttls_then_auth_then_mail_then_quit() {
    let script = "
        < 220 gw
        > EHLO me.example
        < 250-gw
        < 250-AUTH LOGIN
        < 250 starttls
        > STARTTLS
        < 220 2.0.0 go
        !tls
        > EHLO me.example
        < 250-gw
        < 250-AUTH=PLAIN LOGIN
        < 250-pipelining
        < 250 Ok
        > AUTH PLAIN AGpvZQBzZWNyZXQ=
        < 235 2.7.0 ok
        !begin
        > MAIL FROM:<from@a.example>
        > RCPT TO:<to@b.example>
        > DATA
        < 250 2.1.0 ok
        < 250 2.1.5 ok
        < 354 go
        !content
        < 250 2.0.0 Ok: queued as X
        !begin
        > MAIL FROM:<from@a.example>
        > RCPT TO:<to@b.example>
        > DATA
        < 250 2.1.0 ok
        < 250 2.1.5 ok
        < 354 go
        !content
        < 250 2.0.0 Ok: queued as Y
        !quit
        > QUIT
        < 221 bye";
    let make = || client_with_password(TlsMode::StartTls, &Mechanism::PREFERENCE);
    let mail = [
        transaction(&["to@b.example"]),
        transaction(&["to@b.example"]),
    ];
    let (step, told) = both(make, script, &mail);
    assert_eq!(step, Step::Closed(None));
    let queued = reply(250, (2, 0, 0), "Ok: queued as X");
    let report = TransactionReport {
        results: vec![Ok(queued)],
        content_sent: true,
        session_alive: true,
    };
    assert_eq!(told.reports[0], report);
    assert_eq!(told.reports.len(), 2);
}

#[test]
fn each_mechanism_and_each_way_it_fails() {
    let hello = "
        !tls
        < 220 gw
        > EHLO me.example
        < 250-gw
        < 250 AUTH LOGIN CRAM-MD5 XOAUTH2 PLAIN";
    let no = FaultKind::Reply(reply(535, (5, 7, 8), "no"));
    let strange = |text: &str| FaultKind::Protocol(text.to_owned());
    let cases = [
        (
            Mechanism::Login,
            "> AUTH LOGIN\n< 334 VXNlcm5hbWU6\n> am9l\n< 334 x\n> c2VjcmV0\n< 235 ok",
            None,
        ),
        // RFC 2195's own challenge.
        (
            Mechanism::CramMd5,
            "> AUTH CRAM-MD5\n< 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\n\
             > am9lIDczM2JhODdlNjRlZDdlNDQxZjA2MmM0YWM2ZGIwMTAz\n< 235 ok",
            None,
        ),
        (
            Mechanism::Plain,
            "> AUTH PLAIN AGpvZQBzZWNyZXQ=\n< 535 5.7.8 no",
            Some(no),
        ),
        (
            Mechanism::Plain,
            "> AUTH PLAIN AGpvZQBzZWNyZXQ=\n< 334 more\n> *\n< 501 ok",
            Some(strange(
                "the server asked for more than the AUTH mechanism has",
            )),
        ),
        (
            Mechanism::CramMd5,
            "> AUTH CRAM-MD5\n< 334 !!!\n> *\n< 501 ok",
            Some(strange("the server's AUTH challenge is not Base64")),
        ),
    ];
    for (mechanism, script, kind) in cases {
        let make = || client_with_password(TlsMode::Implicit, &[mechanism]);
        let (step, _) = both(make, &format!("{hello}\n{script}"), &[]);
        let wanted = kind.map_or(Step::Idle, |kind| fault(Stage::Auth, kind));
        assert_eq!(step, wanted, "{mechanism:?}");
    }
}

/// The exchange of RFC 7677 section 3, and a server that says yes without its own proof.
#[test]
fn scram_needs_the_servers_proof_too() {
    let password = Credentials {
        user: "user".to_owned(),
        password: Secret::new("pencil".to_owned()),
    };
    let make = || {
        Client::new(ClientConfig {
            auth: Some(password.clone()),
            mechanisms: vec![Mechanism::ScramSha256Plus, Mechanism::ScramSha256],
            nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(),
            ..ClientConfig::new("me.example", TlsMode::Implicit)
        })
    };
    let start = "
        !tls
        < 220 gw
        > EHLO me.example
        < 250-gw
        < 250 AUTH SCRAM-SHA-256 SCRAM-SHA-256-PLUS
        > AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8=
        < 334 cj1yT3ByTkdmd0ViZVJXZ2JORWtxTyVodllEcFdVYTJSYVRDQWZ1eEZJbGopaE5sRiRrMCxzPVcyMlphSjBTTlk3c29Fc1VFamI2Z1E9PSxpPTQwOTY=
        > Yz1iaXdzLHI9ck9wck5HZndFYmVSV2diTkVrcU8laHZZRHBXVWEyUmFUQ0FmdXhGSWxqKWhObEYkazAscD1kSHpiWmFwV0lrNGpVaE4rVXRlOXl0YWc5empmTUhnc3FtbWl6N0FuZFZRPQ==";
    let proved = "
        < 334 dj02cnJpVFJCaTIzV3BSUi93dHVwK21NaFVaVW4vZEI1bkxUSlJzamw5NUc0PQ==
        >
        < 235 ok";
    let (step, _) = both(make, &format!("{start}{proved}"), &[]);
    assert_eq!(step, Step::Idle);
    let (step, _) = both(make, &format!("{start}\n< 235 ok"), &[]);
    let unproved = "the server did not prove that it knows the password";
    let kind = FaultKind::Protocol(unproved.to_owned());
    assert_eq!(step, fault(Stage::Auth, kind));
}

#[test]
fn a_token_too_long_for_the_command_line_goes_after_it() {
    let make = || {
        Client::new(ClientConfig {
            auth: Some(Credentials {
                user: "joe".to_owned(),
                password: Secret::new("t".repeat(600)),
            }),
            mechanisms: Mechanism::TOKEN.to_vec(),
            ..ClientConfig::new("me.example", TlsMode::Implicit)
        })
    };
    let token = "dHR0".repeat(199);
    let script = format!(
        "!tls\n< 220 gw\n> EHLO me.example\n< 250-gw\n< 250 AUTH XOAUTH2\n> AUTH XOAUTH2\n< 334\n\
         > dXNlcj1qb2UBYXV0aD1CZWFyZXIgdHR0{token}AQE=\n\
         < 334 eyJzdGF0dXMiOiI0MDAifQ==\n>\n< 535 5.7.3 no"
    );
    let (step, _) = both(make, &script, &[]);
    let no = FaultKind::Reply(reply(535, (5, 7, 3), "no"));
    assert_eq!(step, fault(Stage::Auth, no));
}

#[test]
fn faults_on_the_way_in_name_their_stage() {
    let hello = "< 220 gw\n> EHLO me.example\n< 250-gw";
    let starttls = format!("{hello}\n< 250 STARTTLS\n> STARTTLS");
    let again = "\n!tls\n> EHLO me.example";
    let with = |code, text| FaultKind::Reply(Reply::new(code, None, text));
    let offered = vec!["XOAUTH2".to_owned()];
    let cases = [
        ("< 554 no".to_owned(), Stage::Greeting, with(554, "no")),
        (
            "< 220 gw\n> EHLO me.example\n< 502 what".to_owned(),
            Stage::Ehlo,
            with(502, "what"),
        ),
        (
            "< 220 gw\n> EHLO me.example\n< 250 gw".to_owned(),
            Stage::StartTls,
            FaultKind::NoStartTls,
        ),
        (
            format!("{starttls}\n< 454 no"),
            Stage::StartTls,
            with(454, "no"),
        ),
        (
            format!("{starttls}\n< 502 no"),
            Stage::StartTls,
            with(502, "no"),
        ),
        // Offered before TLS only: it does not count.
        (
            format!(
                "{hello}\n< 250-AUTH PLAIN\n< 250 STARTTLS\n> STARTTLS\n< 220 go{again}\n< 250 gw"
            ),
            Stage::Auth,
            FaultKind::NoAuth,
        ),
        (
            format!("{starttls}\n< 220 go{again}\n< 250-gw\n< 250 AUTH XOAUTH2"),
            Stage::Auth,
            FaultKind::NoMechanism { offered },
        ),
    ];
    for (script, stage, kind) in cases {
        let make = || client_with_password(TlsMode::StartTls, &Mechanism::PREFERENCE);
        assert_eq!(both(make, &script, &[]).0, fault(stage, kind), "{script}");
    }
}

#[test]
fn helo_will_do_where_nothing_else_is_wanted() {
    let script = "< 220 gw\n> EHLO me.example\n< 500 what\n> HELO me.example\n< 250 gw";
    assert_eq!(both(|| client(TlsMode::None), script, &[]).0, Step::Idle);
}

#[test]
fn bytes_in_the_clear_after_starttls_are_a_fault() {
    let script = "< 220 gw\n> EHLO me.example\n< 250-gw\n< 250 STARTTLS\n> STARTTLS\n< 220 go";
    for (early, late) in [("\n< 250 injected", &b""[..]), ("", b"2")] {
        let (mut client, mut told) = (client(TlsMode::StartTls), Told::default());
        play(
            &mut client,
            &mut told,
            &format!("{script}{early}"),
            &[],
            false,
        );
        client.received(late);
        client.tls_established();
        let text = "plain text where TLS should begin".to_owned();
        assert_eq!(
            pump(&mut client, &mut told),
            fault(Stage::Tls, FaultKind::Protocol(text))
        );
    }
}

#[test]
fn every_recipient_gets_its_own_result() {
    let mail = transaction(&["a@b.example", "b@b.example", "c@b.example"]);
    let script = "
        !begin
        > MAIL FROM:<from@a.example>
        > RCPT TO:<a@b.example>
        > RCPT TO:<b@b.example>
        > RCPT TO:<c@b.example>
        > DATA
        < 250 ok
        < 250 ok
        < 450 4.2.1 later
        < 550-5.1.1 no
        < 550 5.1.1 such user
        < 354 go
        !content
        < 250 2.0.0 queued";
    let (step, reports) = after_hello(script, &[mail]);
    assert_eq!(step, Step::Idle);
    let mut no = reply(550, (5, 1, 1), "no");
    no.lines.push("such user".to_owned());
    assert_eq!(no.to_string(), "550 5.1.1 no such user");
    let results = vec![
        Ok(reply(250, (2, 0, 0), "queued")),
        refused(Stage::Rcpt, &reply(450, (4, 2, 1), "later")),
        refused(Stage::Rcpt, &no),
    ];
    assert_eq!(
        reports,
        [TransactionReport {
            results,
            content_sent: true,
            session_alive: true
        }]
    );
}

#[test]
fn refusals_of_a_whole_message() {
    let pipelined = "!begin\n> MAIL FROM:<from@a.example>\n> RCPT TO:<a@b.example>\n> DATA";
    let no = Reply::new(550, None, "no");
    let cases = [
        // MAIL refused, the others as they must be.
        ("< 550 no\n< 503 x\n< 503 x", Stage::Mail, false),
        // The server wants content all the same: a lone dot.
        (
            "< 550 no\n< 503 x\n< 354 x\n> .\n< 554 x",
            Stage::Mail,
            false,
        ),
        (
            "< 250 ok\n< 550 no\n< 354 x\n> .\n< 554 x\n> RSET\n< 250 ok",
            Stage::Rcpt,
            false,
        ),
        (
            "< 250 ok\n< 550 no\n< 354 x\n> .\n< 250 x\n> RSET\n< 250 ok",
            Stage::Rcpt,
            false,
        ),
        (
            "< 250 ok\n< 550 no\n< 554 x\n> RSET\n< 250 ok",
            Stage::Rcpt,
            false,
        ),
        (
            "< 250 ok\n< 250 ok\n< 550 no\n> RSET\n< 250 ok",
            Stage::Data,
            false,
        ),
        (
            "< 250 ok\n< 250 ok\n< 354 x\n!content\n< 550 no\n> RSET\n< 250 ok",
            Stage::EndOfData,
            true,
        ),
    ];
    for (script, stage, content_sent) in cases {
        let mail = [transaction(&["a@b.example"])];
        let (step, reports) = after_hello(&format!("{pipelined}\n{script}"), &mail);
        assert_eq!(step, Step::Idle, "{script}");
        let results = vec![refused(stage, &no)];
        let report = TransactionReport {
            results,
            content_sent,
            session_alive: true,
        };
        assert_eq!(reports, [report], "{script}");
    }
}

#[test]
fn without_pipelining_one_command_at_a_time() {
    let hello = "< 220 gw\n> EHLO me.example\n< 250 gw\n!begin\n> MAIL FROM:<from@a.example>";
    let cases = [
        (
            "< 250 ok\n> RCPT TO:<a@b.example>\n< 250 ok\n> RCPT TO:<b@b.example>\n< 550 no\n> DATA\n< 354 go\n!content\n< 250 ok",
            1,
        ),
        ("< 550 no", 0),
        (
            "< 250 ok\n> RCPT TO:<a@b.example>\n< 550 no\n> RCPT TO:<b@b.example>\n< 550 no\n> RSET\n< 250 ok",
            0,
        ),
    ];
    for (script, accepted) in cases {
        let mail = [transaction(&["a@b.example", "b@b.example"])];
        let (step, told) = both(
            || client(TlsMode::None),
            &format!("{hello}\n{script}"),
            &mail,
        );
        assert_eq!(step, Step::Idle);
        let results = &told.reports[0].results;
        assert_eq!(
            results.iter().filter(|result| result.is_ok()).count(),
            accepted
        );
    }
}

#[test]
fn a_421_ends_the_session_wherever_it_comes() {
    let bye = || Reply::new(421, None, "bye");
    let steps = [
        (Stage::Mail, ""),
        (Stage::Rcpt, "< 250 ok"),
        (Stage::Data, "< 250 ok\n< 250 ok"),
        (Stage::EndOfData, "< 250 ok\n< 250 ok\n< 354 go\n!content"),
    ];
    let begin = "!begin\n> MAIL FROM:<from@a.example>\n> RCPT TO:<a@b.example>\n> DATA";
    for (stage, before) in steps {
        let mail = [transaction(&["a@b.example"])];
        let (step, reports) = after_hello(&format!("{begin}\n{before}\n< 421 bye"), &mail);
        assert_eq!(step, fault(stage, FaultKind::Reply(bye())));
        assert_eq!(reports[0].results, [refused(stage, &bye())]);
        assert!(!reports[0].session_alive);
    }
    for (stage, script) in [
        (Stage::Greeting, "< 421 bye"),
        (Stage::Ehlo, "< 220 gw\n> EHLO me.example\n< 421 bye"),
        (
            Stage::Idle,
            "< 220 gw\n> EHLO me.example\n< 250 gw\n< 421 bye",
        ),
    ] {
        let (step, _) = both(|| client(TlsMode::None), script, &[]);
        assert_eq!(step, fault(stage, FaultKind::Reply(bye())));
    }
}

#[test]
fn replies_that_nobody_asked_for_are_a_fault() {
    let cases = [
        ("< 220 gw\n< 250 early", Stage::Ehlo),
        (
            "< 220 gw\n> EHLO me.example\n< 250 gw\n< 250 more",
            Stage::Idle,
        ),
        (
            "< 220 gw\n> EHLO me.example\n< 250-gw\n< 250 PIPELINING\n!begin\n> MAIL FROM:<from@a.example>\n> RCPT TO:<a@b.example>\n> DATA\n< 250 ok\n< 250 ok\n< 354 go\n< 250 queued",
            Stage::Data,
        ),
    ];
    for (script, stage) in cases {
        let (mut client, mut told) = (client(TlsMode::None), Told::default());
        let mail = [transaction(&["a@b.example"])];
        let step = play(&mut client, &mut told, script, &mail, false);
        assert!(
            matches!(&step, Step::Closed(Some(Fault { stage: at, kind: FaultKind::Protocol(_) })) if *at == stage),
            "{step:?}"
        );
        for report in told.reports {
            assert!(!report.content_sent && !report.session_alive);
            let Err(Refusal::Interrupted { content_sent, .. }) = &report.results[0] else {
                panic!("{report:?}")
            };
            assert!(!content_sent);
        }
    }
}

#[test]
fn content_may_be_refused_while_it_is_under_way() {
    let script = format!(
        "{PLAIN_HELLO}\n!begin\n> MAIL FROM:<from@a.example>\n> RCPT TO:<a@b.example>\n> DATA\n< 250 ok\n< 250 ok\n< 354 go"
    );
    let (mut client, mut told) = (client(TlsMode::None), Told::default());
    let mail = [transaction(&["a@b.example"])];
    assert_eq!(
        play(&mut client, &mut told, &script, &mail, false),
        Step::Content
    );
    client.received(b"552 5.3.4 too");
    assert_eq!(pump(&mut client, &mut told), Step::Content);
    client.received(b" big\r\n");
    assert_eq!(pump(&mut client, &mut told), Step::Closed(None));
    let too_big = reply(552, (5, 3, 4), "too big");
    assert_eq!(
        told.reports[0].results,
        [refused(Stage::EndOfData, &too_big)]
    );
    assert!(!told.reports[0].content_sent);
}

#[test]
fn a_lost_connection_tells_whether_the_content_was_out() {
    let begin = "!begin\n> MAIL FROM:<from@a.example>\n> RCPT TO:<a@b.example>\n> DATA";
    let cases = [
        ("", Stage::Mail, false),
        ("< 250 ok\n< 250 ok", Stage::Data, false),
        ("< 250 ok\n< 250 ok\n< 354 go", Stage::Data, false),
        (
            "< 250 ok\n< 250 ok\n< 354 go\n!content",
            Stage::EndOfData,
            true,
        ),
        (
            "< 250 ok\n< 250 ok\n< 354 go\n!content\n< 354 what",
            Stage::EndOfData,
            true,
        ),
    ];
    for (script, stage, content_sent) in cases {
        let (mut client, mut told) = (client(TlsMode::None), Told::default());
        let script = format!("{PLAIN_HELLO}\n{begin}\n{script}");
        play(
            &mut client,
            &mut told,
            &script,
            &[transaction(&["a@b.example"])],
            false,
        );
        client.failed(Interruption::Timeout);
        assert!(matches!(
            pump(&mut client, &mut told),
            Step::Closed(Some(_))
        ));
        let [
            Err(Refusal::Interrupted {
                stage: at,
                content_sent: out,
                ..
            }),
        ] = &told.reports[0].results[..]
        else {
            panic!("{:?}", told.reports)
        };
        assert_eq!((*at, *out, told.reports.len()), (stage, content_sent, 1));
    }
}

#[test]
fn a_reply_that_came_before_the_end_of_the_connection_counts() {
    let (mut client, mut told) = (client(TlsMode::None), Told::default());
    client.received(b"421 4.3.2 full\r\n");
    client.failed(Interruption::Closed);
    let full = reply(421, (4, 3, 2), "full");
    assert_eq!(
        pump(&mut client, &mut told),
        fault(Stage::Greeting, FaultKind::Reply(full))
    );
}

#[test]
fn an_idle_session_may_end_and_a_late_begin_is_reported() {
    let (mut client, mut told) = (client(TlsMode::None), Told::default());
    assert_eq!(
        play(&mut client, &mut told, PLAIN_HELLO, &[], false),
        Step::Idle
    );
    client.failed(Interruption::Closed);
    client.begin(transaction(&["a@b.example"]));
    assert_eq!(pump(&mut client, &mut told), Step::Closed(None));
    assert!(!told.reports[0].session_alive);
    let how = Interruption::Closed;
    let lost = Refusal::Interrupted {
        stage: Stage::Mail,
        how,
        content_sent: false,
    };
    assert_eq!(told.reports[0].results, [Err(lost)]);
}

#[test]
fn parameters_are_sent_where_they_are_understood() {
    let mut mail = transaction(&[]);
    let mut recipient = Recipient::new(address("a@b.example"));
    recipient.notify = Some(Notify {
        success: true,
        failure: false,
        delay: true,
    });
    recipient.orcpt = Some("rfc822;a+b@c.example".to_owned());
    mail.recipients = vec![recipient];
    mail.size = Some(7);
    mail.eightbit = true;
    mail.smtputf8 = true;
    mail.ret = Some(Ret::Headers);
    mail.envid = Some("x y".to_owned());
    mail.sender = None;
    let all = "
        < 220 gw
        > EHLO me.example
        < 250-gw
        < 250-SIZE
        < 250-8BITMIME
        < 250-SMTPUTF8
        < 250 DSN
        !begin
        > MAIL FROM:<> SIZE=7 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+20y
        < 250 ok
        > RCPT TO:<a@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c.example";
    let none = "
        < 220 gw
        > EHLO me.example
        < 250 gw
        !begin
        > MAIL FROM:<>
        < 250 ok
        > RCPT TO:<a@b.example>";
    for script in [all, none] {
        let (step, _) = both(
            || client(TlsMode::None),
            script,
            std::slice::from_ref(&mail),
        );
        assert_eq!(step, Step::Receive(Stage::Rcpt));
    }
}

#[test]
fn what_the_server_cannot_take_is_not_sent() {
    let mut large = transaction(&["a@b.example"]);
    large.size = Some(1001);
    let (step, reports) = after_hello("!begin", &[large]);
    assert_eq!(step, Step::Idle);
    let what = Unsupported::Size {
        size: 1001,
        limit: 1000,
    };
    assert_eq!(reports[0].results, [Err(Refusal::Unsupported { what })]);
    assert_eq!(
        what.to_string(),
        "message size 1001 exceeds size limit 1000 of server"
    );
    let mixed = transaction(&["ä@b.example", "a@b.example"]);
    let script = "!begin\n> MAIL FROM:<from@a.example>\n> RCPT TO:<a@b.example>\n> DATA\n< 250 ok\n< 250 ok\n< 354 go\n!content\n< 250 ok";
    let (_, reports) = after_hello(script, &[mixed]);
    let what = Unsupported::SmtpUtf8;
    assert_eq!(reports[0].results[0], Err(Refusal::Unsupported { what }));
    assert!(reports[0].results[1].is_ok());
}

#[test]
fn all_or_nothing_by_bdat() {
    let hello = "< 220 gw\n> EHLO me.example\n< 250-gw\n< 250-PIPELINING\n< 250 CHUNKING\n!begin\n> MAIL FROM:<from@a.example>\n> RCPT TO:<a@b.example>\n> RCPT TO:<b@b.example>";
    let make = || {
        let mut config = ClientConfig::new("me.example", TlsMode::None);
        config.chunking = true;
        Client::new(config)
    };
    let mut mail = transaction(&["a@b.example", "b@b.example"]);
    (mail.size, mail.all_or_nothing) = (Some(6), true);
    let mail = [mail];
    let taken =
        format!("{hello}\n< 250 ok\n< 250 ok\n< 250 ok\n> BDAT 6 LAST\n!content\n< 250 queued");
    let (step, told) = both(make, &taken, &mail);
    assert_eq!(step, Step::Idle);
    assert!(told.reports[0].results.iter().all(Result::is_ok));
    let refused = format!("{hello}\n< 250 ok\n< 250 ok\n< 550 no\n> RSET\n< 250 ok");
    let (step, told) = both(make, &refused, &mail);
    assert_eq!(step, Step::Idle);
    assert_eq!(told.reports[0].results[0], Err(Refusal::OtherRefused));
    assert!(matches!(
        told.reports[0].results[1],
        Err(Refusal::Reply {
            stage: Stage::Rcpt,
            ..
        })
    ));
}

#[test]
fn long_recipient_lists_go_in_several_flights() {
    let recipients: Vec<Address> = (0..1000)
        .map(|n| address(&format!("user{n:040}@b.example")))
        .collect();
    let mut mail = transaction(&[]);
    mail.recipients = recipients.into_iter().map(Recipient::new).collect();
    let (mut client, mut told) = (client(TlsMode::None), Told::default());
    play(&mut client, &mut told, PLAIN_HELLO, &[], false);
    client.begin(mail);
    let mut flights = 0;
    while let Step::Receive(_) = pump(&mut client, &mut told) {
        let sent = std::mem::take(&mut told.sent);
        assert!(sent.len() < 17_000);
        flights += 1;
        for line in sent.split_inclusive(|&b| b == b'\n') {
            client.received(if line == b"DATA\r\n" {
                b"354 go\r\n"
            } else {
                b"250 ok\r\n"
            });
        }
    }
    assert!(flights > 3);
    assert_eq!(client.next(), Step::Content);
}

#[test]
fn quirks_and_limits_of_replies() {
    let (mut client, mut told) = (client(TlsMode::None), Told::default());
    client.received(b"220\n");
    pump(&mut client, &mut told);
    client.received(b"250-gw \xE9\x1B[2J\n250-\n250 pipelining\n");
    assert_eq!(pump(&mut client, &mut told), Step::Idle);
    assert!(client.capabilities().pipelining);
    client.begin(transaction(&["a@b.example"]));
    pump(&mut client, &mut told);
    client.received(b"250\r\n569 odd\r\n354\r\n");
    pump(&mut client, &mut told);
    client.received(b"554 5.7.1\r\n250 ok\r\n");
    assert_eq!(
        pump(&mut client, &mut told),
        fault(
            Stage::Rset,
            FaultKind::Protocol("a reply that nobody asked for: 250 ok".to_owned())
        )
    );
    assert_eq!(
        told.reports[0].results,
        [refused(Stage::Rcpt, &Reply::new(569, None, "odd"))]
    );
}

#[test]
fn endless_replies_are_cut_off() {
    let line = vec![b'A'; 5000];
    let many = "220-x\r\n".repeat(200).into_bytes();
    let mixed = b"220-x\r\n554 x\r\n".to_vec();
    for hostile in [
        [b"220 ", &line[..]].concat(),
        many,
        b"25\r\n".to_vec(),
        mixed,
    ] {
        for size in [1, 7, hostile.len()] {
            let (mut client, mut told) = (client(TlsMode::None), Told::default());
            for piece in hostile.chunks(size) {
                client.received(piece);
                pump(&mut client, &mut told);
            }
            let step = pump(&mut client, &mut told);
            assert!(
                matches!(
                    &step,
                    Step::Closed(Some(Fault {
                        stage: Stage::Greeting,
                        kind: FaultKind::Protocol(_)
                    }))
                ),
                "{step:?}"
            );
        }
    }
}

#[test]
fn a_server_may_end_an_idle_session_with_any_refusal() {
    let (mut client, mut told) = (client(TlsMode::None), Told::default());
    play(&mut client, &mut told, PLAIN_HELLO, &[], false);
    client.received(b"451 4.4.2 Timeout waiting for data from client.\r\n");
    client.begin(transaction(&["a@b.example"]));
    let bye = reply(451, (4, 4, 2), "Timeout waiting for data from client.");
    assert_eq!(
        pump(&mut client, &mut told),
        fault(Stage::Idle, FaultKind::Reply(bye))
    );
    assert!(matches!(
        told.reports[0].results[..],
        [Err(Refusal::Interrupted {
            content_sent: false,
            ..
        })]
    ));
}
