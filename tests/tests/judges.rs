//! The judges are judged: the scripted gateway and the Postfix gateway against clients that nobody here wrote
//! (Python's smtplib, Postfix itself), before anything of ours is measured with them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::Duration;

use tests::certificate::{Authority, Validity};
use tests::gateway::{Fault, Gateway, Rule, Setup, Stage, Tls};
use tests::namespace::root_or_skip;
use tests::postfix::{Account, Postfix, free_port};
use tests::program::{need, run};

const LIMIT: Duration = Duration::from_secs(20);

/// One session: port, mode, authority, mechanism, user, password, time-out; the message comes on standard input.
/// Prints `sent`, or the exception's name and the reply code.
const CLIENT: &str = r#"
import smtplib, ssl, sys
port, mode, authority, mechanism, user, password, limit = sys.argv[1:]
content = sys.stdin.buffer.read()
try:
    context = ssl.create_default_context(cafile=authority or None)
    class Session(smtplib.SMTP):
        pass
    if mode == "implicit":
        s = smtplib.SMTP_SSL("localhost", int(port), local_hostname="client.test", timeout=float(limit), context=context)
    else:
        s = smtplib.SMTP("localhost", int(port), local_hostname="client.test", timeout=float(limit))
    s.ehlo()
    if mode == "starttls":
        s.starttls(context=context)
        s.ehlo()
    if mechanism:
        s.user, s.password = user, password
        s.auth(mechanism, getattr(s, "auth_" + mechanism.lower().replace("-", "_")))
    refused = s.sendmail("from@client.test", ["a@x.test", "b@x.test"], content, ["BODY=8BITMIME"])
    print("sent", sorted(refused))
    s.quit()
except Exception as e:
    print(type(e).__name__, getattr(e, "smtp_code", ""))
"#;

const MESSAGE: &[u8] =
    b"Subject: bytes\r\n\r\n.\r\n..two dots\r\n\xc3\xa4 eight bits \xff\r\nFrom here\r\nend\r\n";

struct Session<'a> {
    port: u16,
    mode: &'a str,
    authority: Option<&'a Authority>,
    mechanism: &'a str,
    user: &'a str,
    password: &'a str,
    limit_s: &'a str,
}

impl Session<'_> {
    fn run(&self) -> String {
        need("/usr/bin/python3", "python3");
        let folder = tempfile::tempdir().expect("there is room");
        let file = folder.path().join("ca.pem");
        let authority = self.authority.map_or(String::new(), |authority| {
            authority.write(&file);
            file.display().to_string()
        });
        let port = self.port.to_string();
        let arguments = [
            &port,
            self.mode,
            &authority,
            self.mechanism,
            self.user,
            self.password,
            self.limit_s,
        ];
        let output: Output = run(
            Command::new("/usr/bin/python3")
                .args(["-c", CLIENT])
                .args(arguments),
            MESSAGE,
        );
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .expect("ASCII")
            .trim()
            .to_owned()
    }
}

fn session<'a>(port: u16, authority: &'a Authority, mechanism: &'a str) -> Session<'a> {
    let setup = ("relay-user", "correct horse; battery#staple\\");
    Session {
        port,
        mode: "starttls",
        authority: Some(authority),
        mechanism,
        user: setup.0,
        password: setup.1,
        limit_s: "20",
    }
}

/// A provider whose certificate is for `localhost`, which is what smtplib connects to.
fn provider(authority: &Authority) -> Setup {
    Setup::provider(authority.issue("localhost", Validity::Current))
}

#[test]
fn smtplib_delivers_over_starttls_with_each_mechanism() {
    let authority = Authority::new();
    let gateway = Gateway::start(provider(&authority));
    for (index, mechanism) in ["PLAIN", "LOGIN", "CRAM-MD5"].into_iter().enumerate() {
        assert_eq!(
            session(gateway.port(), &authority, mechanism).run(),
            "sent []",
            "{mechanism}"
        );
        let all = gateway.expect(index + 1, LIMIT);
        let last = all.last().unwrap();
        assert_eq!(last.content, MESSAGE);
        assert_eq!(last.addresses(), ["a@x.test", "b@x.test"]);
        assert_eq!(
            (last.sender.as_str(), last.user.as_deref()),
            ("from@client.test", Some("relay-user"))
        );
        assert!(last.encrypted && last.replied);
    }
    gateway.expect_good_manners();
    let record = gateway.record();
    assert!(
        !record.in_clear.windows(4).any(|w| w == b"MAIL"),
        "only EHLO and STARTTLS were in clear"
    );
    assert!(gateway.wait(LIMIT, |r| r.open == 0));
    assert_eq!((record.connections, record.peak), (3, 1));
}

#[test]
fn smtplib_delivers_over_implicit_tls_and_in_clear() {
    let authority = Authority::new();
    let gateway = Gateway::start(Setup {
        tls: Tls::Implicit,
        ..provider(&authority)
    });
    let one = Session {
        mode: "implicit",
        ..session(gateway.port(), &authority, "PLAIN")
    };
    assert_eq!(one.run(), "sent []");
    assert!(gateway.read(|r| r.in_clear.is_empty()));

    let sink = Gateway::start(Setup::open_sink());
    let one = Session {
        mode: "none",
        ..session(sink.port(), &authority, "")
    };
    assert_eq!(one.run(), "sent []");
    assert_eq!(sink.expect(1, LIMIT)[0].content, MESSAGE);
}

#[test]
fn wrong_password_is_refused_with_each_mechanism() {
    let authority = Authority::new();
    let gateway = Gateway::start(provider(&authority));
    for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5"] {
        let one = Session {
            password: "wrong",
            ..session(gateway.port(), &authority, mechanism)
        };
        assert_eq!(one.run(), "SMTPAuthenticationError 535");
    }
    assert_eq!(
        gateway.read(|r| (r.refused_logins, r.deliveries.len())),
        (3, 0)
    );
}

#[test]
fn bad_certificates_are_bad_to_openssl_too() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let cases = [
        authority.issue("localhost", Validity::Expired),
        authority.issue("elsewhere.test", Validity::Current),
        stranger.issue("localhost", Validity::Current),
    ];
    for (index, identity) in cases.into_iter().enumerate() {
        let gateway = Gateway::start(Setup::provider(identity));
        assert_eq!(
            session(gateway.port(), &authority, "PLAIN").run(),
            "SSLCertVerificationError",
            "case {index}"
        );
        assert!(
            gateway.wait(LIMIT, |r| r.failed_handshakes.len() == 1),
            "case {index}"
        );
    }
}

#[test]
fn every_stage_can_refuse_and_drop() {
    let authority = Authority::new();
    let gateway = Gateway::start(provider(&authority));
    let refusals = [
        (Stage::Greeting, "SMTPConnectError 454"),
        (Stage::StartTls, "SMTPResponseException 454"),
        (Stage::Auth, "SMTPAuthenticationError 454"),
        (Stage::Mail, "SMTPSenderRefused 454"),
        (Stage::Rcpt, "SMTPRecipientsRefused"),
        (Stage::Data, "SMTPDataError 454"),
        (Stage::EndOfData, "SMTPDataError 454"),
    ];
    for (stage, expected) in refusals {
        gateway.behave();
        gateway.fail(stage, Fault::reply("454 4.3.0 not now"));
        assert_eq!(
            session(gateway.port(), &authority, "PLAIN").run(),
            expected,
            "{stage:?}"
        );
    }
    let all = [
        Stage::Greeting,
        Stage::StartTls,
        Stage::Handshake,
        Stage::Auth,
        Stage::Mail,
        Stage::Rcpt,
        Stage::Data,
        Stage::Content,
        Stage::EndOfData,
    ];
    for stage in all {
        gateway.behave();
        gateway.fail(stage, Fault::Drop);
        let said = session(gateway.port(), &authority, "PLAIN").run();
        let lost = [
            "SMTPServerDisconnected",
            "SSLEOFError",
            "SSLError",
            "ConnectionResetError",
            "SSLZeroReturnError",
        ];
        assert!(
            lost.iter().any(|name| said.starts_with(name)),
            "{stage:?}: {said}"
        );
    }
    assert_eq!(gateway.read(|r| r.deliveries.len()), 0);
    gateway.expect_good_manners();
}

#[test]
fn silence_lost_replies_and_single_recipients() {
    let authority = Authority::new();
    let gateway = Gateway::start(provider(&authority));
    gateway.fail(Stage::Mail, Fault::Silence);
    let impatient = Session {
        limit_s: "0.3",
        ..session(gateway.port(), &authority, "PLAIN")
    };
    assert_eq!(impatient.run(), "SMTPServerDisconnected");

    gateway.behave();
    gateway.add(Rule::at(Stage::EndOfData, Fault::LoseReply).times(1));
    gateway.add(
        Rule::at(Stage::Rcpt, Fault::reply("550 5.1.1 no such user"))
            .naming("b@x.test")
            .after(1),
    );
    assert!(
        session(gateway.port(), &authority, "PLAIN")
            .run()
            .starts_with("SMTPServerDisconnected")
    );
    assert_eq!(
        session(gateway.port(), &authority, "PLAIN").run(),
        "sent ['b@x.test']"
    );
    let all = gateway.expect(2, LIMIT);
    assert_eq!((all[0].replied, all[0].addresses().len()), (false, 2));
    assert_eq!(
        (all[1].replied, all[1].addresses()),
        (true, vec!["a@x.test"])
    );
}

#[test]
fn limit_close_and_reopen() {
    let mut gateway = Gateway::start(Setup {
        max_connections: Some(2),
        ..Setup::open_sink()
    });
    let connect = |port| TcpStream::connect(("127.0.0.1", port));
    let greeting = |stream: &TcpStream| {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    };
    let held: Vec<TcpStream> = (0..2).map(|_| connect(gateway.port()).unwrap()).collect();
    assert!(
        held.iter()
            .all(|stream| greeting(stream).starts_with("220 "))
    );
    assert!(greeting(&connect(gateway.port()).unwrap()).starts_with("421 "));
    assert_eq!(gateway.read(|r| (r.open, r.peak, r.over_limit)), (2, 2, 1));

    gateway.close();
    assert!(connect(gateway.port()).is_err());
    assert!(
        gateway.wait(LIMIT, |r| r.open == 0),
        "every session has ended"
    );
    gateway.reopen();
    assert!(greeting(&connect(gateway.port()).unwrap()).starts_with("220 "));
}

#[test]
fn breaches_are_noted() {
    let gateway = Gateway::start(Setup {
        keywords: Vec::new(),
        ..Setup::open_sink()
    });
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut said = |text: &str, replies: usize| {
        stream.write_all(text.as_bytes()).unwrap();
        (0..replies)
            .map(|_| lines.next().unwrap().unwrap())
            .collect::<Vec<_>>()
    };
    said("", 1);
    said("EHLO c.test\n", 1);
    said("MAIL FROM:<a@b.test> SIZE=3\r\nRCPT TO:<c@d.test>\r\n", 2);
    said("DATA\r\n", 1);
    let done = said("x\n.\ny\rz\r\n.\r\n", 1);
    assert!(done[0].starts_with("250 "));
    let breaches = gateway.read(|r| r.violations.join("\n"));
    for expected in [
        "bare LF in command",
        "SIZE was not offered",
        "without waiting for the answer to MAIL",
        "bare CR",
    ] {
        assert!(breaches.contains(expected), "{expected}: {breaches}");
    }
    assert_eq!(
        gateway.expect(1, LIMIT)[0].content,
        b"x\n\ny\rz\r\n",
        "only CRLF.CRLF ends the content"
    );
}

#[test]
fn postfix_as_client_delivers_to_the_scripted_gateway() {
    if !root_or_skip("postfix_as_client_delivers_to_the_scripted_gateway") {
        return;
    }
    let authority = Authority::new();
    let gateway = Gateway::start(Setup::provider(
        authority.issue("gateway.test", Validity::Current),
    ));
    let account = Account {
        user: "relay-user",
        password: "correct horse; battery#staple\\",
    };
    let client =
        Postfix::client_with_login(gateway.port(), "client.test", &authority.pem, &account);
    let output = client.sendmail(
        &["-i", "-f", "s@client.test", "a@x.test", "b@x.test"],
        b"Subject: x\n\n.\n..y\n",
    );
    assert!(output.status.success(), "{output:?}");
    let delivery = gateway.expect(1, LIMIT).remove(0);
    assert_eq!(delivery.body(), b".\r\n..y\r\n");
    assert_eq!(delivery.addresses(), ["a@x.test", "b@x.test"]);
    assert_eq!(
        (delivery.sender.as_str(), delivery.encrypted),
        ("s@client.test", true)
    );
    gateway.expect_good_manners();
}

#[test]
fn postfix_as_gateway_wants_tls_and_the_right_password() {
    if !root_or_skip("postfix_as_gateway_wants_tls_and_the_right_password") {
        return;
    }
    let authority = Authority::new();
    let account = Account {
        user: "relay-user",
        password: "correct horse; battery#staple\\",
    };
    let port = free_port();
    let gateway = Postfix::gateway(
        port,
        &authority.issue("localhost", Validity::Current),
        &account,
    );
    let good = |mechanism| session(port, &authority, mechanism);
    assert_eq!(
        Session {
            password: "wrong",
            ..good("PLAIN")
        }
        .run(),
        "SMTPAuthenticationError 535"
    );
    assert_eq!(
        good("").run(),
        "SMTPRecipientsRefused",
        "no relaying without AUTH"
    );
    assert_eq!(
        Session {
            mode: "none",
            ..good("PLAIN")
        }
        .run(),
        "SMTPRecipientsRefused",
        "AUTH in clear is out of order, which smtplib takes for done; nothing is relayed"
    );
    for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5"] {
        assert_eq!(good(mechanism).run(), "sent []");
    }
    tests::patience::expect("six messages in the Maildir", LIMIT, || {
        gateway.count() == 6
    });
    let body: Vec<u8> = MESSAGE[18..]
        .iter()
        .copied()
        .filter(|&b| b != b'\r')
        .collect();
    for message in gateway.delivered() {
        let at = message
            .windows(2)
            .position(|w| w == b"\n\n")
            .expect("a header block");
        assert_eq!(&message[at + 2..], body, "byte for byte");
    }
    assert_eq!(gateway.peak(), 1);
}
