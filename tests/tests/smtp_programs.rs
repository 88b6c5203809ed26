//! Real programs that speak SMTP to relayd's ports, as people and scripts run them and as another mail server on the
//! host would. Judged at the gateway by envelope and bytes. Works for any user.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use tests::certificate::{Authority, Validity};
use tests::doors::{Doors, MESSAGE, PASSWORD, USER, expect_received};
use tests::namespace::root_or_skip;
use tests::patience;
use tests::postfix::{Account, Postfix, free_port};
use tests::program::need;
use tests::reading::Reading;
use tests::scene::{LIMIT, TEXT, crlf};

#[test]
fn swaks() {
    need("/usr/bin/swaks", "swaks");
    let doors = Doors::open();
    let secured = ["--tls", "--tls-verify"];
    let authority = doors.authority().display().to_string();
    let (smtp, submission) = (doors.smtp.to_string(), doors.submission.to_string());
    let cases: [(&str, &str, &[&str]); 5] = [
        (&smtp, "ESMTP", &[]),
        (&smtp, "ESMTP", &["--pipeline"]),
        (&smtp, "SMTP", &["--protocol", "SMTP"]),
        (&submission, "ESMTPSA", &["--auth", "PLAIN"]),
        (&submission, "ESMTPSA", &["--auth", "LOGIN", "--pipeline"]),
    ];
    let address = doors.address.to_string();
    for (index, (port, protocol, more)) in cases.into_iter().enumerate() {
        let common = format!(
            "swaks --server {address} --port {port} --helo app.test --data - --timeout 20 \
             --from bounce@x.test --to to@x.test,last@x.test"
        );
        let mut line: Vec<&str> = common.split(' ').collect();
        line.extend(more);
        if protocol == "ESMTPSA" {
            line.extend(secured);
            line.extend([
                "--tls-ca-path",
                &authority,
                "--auth-user",
                USER,
                "--auth-password",
                PASSWORD,
            ]);
        }
        let said = doors.run(doors.client(&line));
        let delivery = doors.scene.nth(index);
        assert_eq!(
            delivery.envelope(),
            ("bounce@x.test", vec!["last@x.test", "to@x.test"]),
            "{said}"
        );
        // It ends what it sends with a line end of its own.
        doors
            .scene
            .expect_exactly(&delivery, format!("{MESSAGE}\r\n").as_bytes());
        expect_received(&delivery, "app.test", protocol);
    }
    let log = doors.scene.rig.log();
    for method in ["PLAIN", "LOGIN"] {
        let known = format!("sasl_method={method}, sasl_username={USER}");
        assert!(log.contains(&known), "{known}\n{log}");
    }
    let counts = "]: disconnect from localhost[127.0.0.1] ehlo=2 starttls=1 auth=1 mail=1 rcpt=2 data=1 quit=1 commands=9";
    patience::expect(counts, LIMIT, || doors.scene.rig.log().contains(counts));
}

/// A wrong password is refused, by either method, and the log names the method, the client and the user as fail2ban
/// wants it.
#[test]
fn swaks_with_a_wrong_password() {
    need("/usr/bin/swaks", "swaks");
    let doors = Doors::open();
    let (address, port) = (doors.address.to_string(), doors.submission.to_string());
    for method in ["PLAIN", "LOGIN"] {
        let line = format!(
            "swaks --server {address} --port {port} --tls --from app@x.test --to to@x.test \
             --auth {method} --auth-user {USER} --auth-password guess"
        );
        let line: Vec<&str> = line.split(' ').collect();
        let output = tests::program::run(&mut doors.client(&line), b"");
        assert_eq!(
            output.status.code(),
            Some(28),
            "swaks: no authentication: {output:?}"
        );
        let expected =
            format!("warning: localhost[127.0.0.1]: SASL {method} authentication failed");
        let log = doors.scene.rig.log();
        assert!(log.contains(&expected), "{expected}\n{log}");
    }
    assert!(doors.scene.gateway.record().deliveries.is_empty());
}

/// msmtp as people have it set up for a relay: with all in its own file, and taking recipients from the header block.
#[test]
fn msmtp() {
    need("/usr/bin/msmtp", "msmtp");
    let doors = Doors::open();
    let settings = format!(
        "defaults\nhost {}\nfrom bounce@x.test\ndomain app.test\ntimeout 20\n\naccount plain\nport {}\n\n\
         account secured\nport {}\ntls on\ntls_trust_file {}\nauth on\nuser {USER}\n\
         passwordeval printf %s \"$PASSWORD\"\n\naccount login : secured\nauth login\n",
        doors.address,
        doors.smtp,
        doors.submission,
        doors.authority().display(),
    );
    doors.scene.write_own("msmtprc", 0o600, &settings);
    for (index, (account, protocol)) in [
        ("plain", "ESMTP"),
        ("secured", "ESMTPSA"),
        ("login", "ESMTPSA"),
    ]
    .into_iter()
    .enumerate()
    {
        let line = ["msmtp", "-C", "msmtprc", "-a", account, "-t", "last@x.test"];
        doors.run(doors.client(&line));
        let delivery = doors.scene.nth(index);
        assert_eq!(
            delivery.envelope(),
            ("bounce@x.test", vec!["last@x.test", "to@x.test"])
        );
        doors.scene.expect_exactly(&delivery, MESSAGE.as_bytes());
        expect_received(&delivery, "app.test", protocol);
    }
}

#[test]
fn curl() {
    need("/usr/bin/curl", "curl");
    let doors = Doors::open();
    let (address, authority) = (doors.address, doors.authority().display().to_string());
    let login = format!("{USER}:{PASSWORD}");
    for (index, method) in ["", "AUTH=PLAIN", "AUTH=LOGIN"].into_iter().enumerate() {
        let secured = !method.is_empty();
        let port = if secured {
            doors.submission
        } else {
            doors.smtp
        };
        let url = format!("smtp://{address}:{port}/app.test");
        let mut line = vec![
            "curl",
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--url",
            &url,
        ];
        line.extend([
            "--mail-from",
            "bounce@x.test",
            "--mail-rcpt",
            "to@x.test",
            "--mail-rcpt",
            "last@x.test",
        ]);
        line.extend(["--upload-file", "-"]);
        if secured {
            line.extend([
                "--ssl-reqd",
                "--cacert",
                &authority,
                "--user",
                &login,
                "--login-options",
                method,
            ]);
        }
        doors.run(doors.client(&line));
        let delivery = doors.scene.nth(index);
        assert_eq!(
            delivery.envelope(),
            ("bounce@x.test", vec!["last@x.test", "to@x.test"])
        );
        doors.scene.expect_exactly(&delivery, MESSAGE.as_bytes());
        expect_received(
            &delivery,
            "app.test",
            if secured { "ESMTPSA" } else { "ESMTP" },
        );
    }
}

#[test]
fn git_send_email_by_smtp() {
    need("/usr/lib/git-core/git-send-email", "git-email");
    need("/usr/share/perl5/Authen/SASL.pm", "libauthen-sasl-perl");
    need("/usr/share/perl5/IO/Socket/SSL.pm", "libio-socket-ssl-perl");
    let doors = Doors::open();
    let script = r#"
        set -e
        export GIT_CONFIG_NOSYSTEM=1
        git init -q -b main "repository$1"
        cd "repository$1"
        git config user.name "Some Body" && git config user.email body@x.test
        printf '.\nFrom here\ngr\303\274n\n' > file
        git add file && git commit -q -m "add a file"
        if [ "$1" = 1 ]; then
            set -- --smtp-server-port="$SUBMISSION" --smtp-encryption=tls --smtp-ssl-cert-path="$CA" \
                --smtp-user="$USERNAME" --smtp-pass="$PASSWORD"
        else
            set -- --smtp-server-port="$SMTP"
        fi
        git send-email -q -1 --confirm=never --suppress-cc=all --to=list@x.test --envelope-sender=bounce@x.test \
            --smtp-server="$HOST" --smtp-domain=app.test "$@" >&2
        git format-patch -1 --stdout"#;
    for (index, protocol) in ["ESMTP", "ESMTPSA"].into_iter().enumerate() {
        let patch = doors.run(doors.client(&["sh", "-c", script, "sh", &index.to_string()]));
        let delivery = doors.scene.nth(index);
        assert_eq!(delivery.envelope(), ("bounce@x.test", vec!["list@x.test"]));
        assert_eq!(delivery.fields("Subject"), ["[PATCH] add a file"]);
        let (_, body) = patch.split_once("\n\n").expect("a header block");
        assert_eq!(
            delivery.body().trim_ascii_end(),
            crlf(body).trim_ascii_end()
        );
        expect_received(&delivery, "app.test", protocol);
    }
}

#[test]
fn mutt_by_smtp() {
    need("/usr/bin/mutt", "mutt");
    let doors = Doors::open();
    let (address, smtp, submission) = (doors.address, doors.smtp, doors.submission);
    let common = "set hostname=app.test from='App <app@x.test>' envelope_from_address=bounce@x.test use_envelope_from\n";
    let plain = format!("{common}set smtp_url=smtp://{address}:{smtp}/ ssl_force_tls=no\n");
    let password = PASSWORD.replace('\\', r"\\").replace('"', "\\\"");
    let secured = format!(
        "{common}set smtp_url=smtp://{USER}@{address}:{submission}/ smtp_pass=\"{password}\"\n\
         set certificate_file={}\n",
        doors.authority().display(),
    );
    for (index, (settings, protocol)) in [(plain, "ESMTP"), (secured, "ESMTPSA")]
        .into_iter()
        .enumerate()
    {
        doors.scene.write_own("muttrc", 0o600, &settings);
        let line = [
            "mutt",
            "-n",
            "-F",
            "muttrc",
            "-x",
            "-s",
            "s",
            "-b",
            "hidden@x.test",
            "to@x.test",
        ];
        tests::program::succeed(&mut doors.client(&line), TEXT.as_bytes());
        let delivery = doors.scene.nth(index);
        assert_eq!(
            delivery.envelope(),
            ("bounce@x.test", vec!["hidden@x.test", "to@x.test"])
        );
        assert_eq!(Reading::of(&delivery.content).text(), TEXT);
        expect_received(&delivery, "app.test", protocol);
    }
}

/// A Postfix on the same host that has relayd as its relayhost: it pipelines, and keeps its sessions for several
/// messages.
#[test]
fn postfix_as_client() {
    if !root_or_skip("postfix_as_client") {
        return;
    }
    const COUNT: usize = 20;
    let doors = Doors::open();
    let postfix = Postfix::satellite(doors.address, doors.smtp, "client.test");
    for n in 0..COUNT {
        let mut message = String::from("From: app@x.test\n");
        write!(message, "Subject: no {n}\n\n{TEXT}").expect("a String grows");
        let output = postfix.sendmail(
            &["-i", "-f", "bounce@x.test", "to@x.test", "last@x.test"],
            message.as_bytes(),
        );
        assert!(output.status.success(), "{output:?}");
    }
    let mut subjects = Vec::new();
    for delivery in doors.scene.gateway.expect(COUNT, LIMIT) {
        assert_eq!(
            delivery.envelope(),
            ("bounce@x.test", vec!["last@x.test", "to@x.test"])
        );
        assert_eq!(delivery.body(), crlf(TEXT));
        subjects.extend(delivery.fields("Subject"));
    }
    subjects.sort_unstable();
    subjects.dedup();
    assert_eq!(subjects.len(), COUNT, "each came once: {subjects:?}");
    doors.scene.gateway.expect_good_manners();
    doors.scene.rig.expect_empty_queue(LIMIT);
}

/// What a client says, command for command, with the reply awaited each time; by `CODE COMMAND`.
const DIALOGUE: &str = "\
HELO app.test
EHLO app.test
NOOP
RSET
FOO
foo bar
DATA
MAIL FROM:<a@x.test>
MAIL FROM:<b@x.test>
RCPT TO:<
RSET
AUTH NONE
EHLO
QUIT
";

/// The line at the end of a session is the same as Postfix's.
#[test]
fn the_log_counts_commands_as_postfix_does() {
    if !root_or_skip("the_log_counts_commands_as_postfix_does") {
        return;
    }
    let doors = Doors::open();
    let authority = Authority::new();
    let identity = authority.issue("gateway.test", Validity::Current);
    let account = Account {
        user: "app",
        password: "secret",
    };
    let port = free_port();
    let postfix = Postfix::gateway(port, &identity, &account);
    let (ours, theirs) = ((doors.address, doors.smtp), (Ipv4Addr::LOCALHOST, port));
    for address in [ours, theirs] {
        let stream = TcpStream::connect(address).expect("it listens");
        let mut replies = BufReader::new(stream.try_clone().expect("one more handle")).lines();
        let mut reply = || {
            replies.find(|line| {
                line.as_ref()
                    .is_ok_and(|line| line.as_bytes().get(3) == Some(&b' '))
            })
        };
        reply().expect("a greeting").expect("text");
        for line in DIALOGUE.lines() {
            (&stream)
                .write_all(format!("{line}\r\n").as_bytes())
                .expect("the server reads");
            reply().expect(line).expect("text");
        }
    }
    let begin = "]: disconnect from localhost[127.0.0.1]";
    let counts = |log: &str| {
        let mut all = log.lines().filter_map(|line| line.split_once(begin));
        // Whoever looked whether the server is up said no HELO.
        let ours = all.find(|(_, counts)| counts.contains("helo="));
        ours.map(|(_, counts)| counts.to_owned())
    };
    let mut said = (None, None);
    patience::expect("both sessions are in the logs", LIMIT, || {
        said = (counts(&doors.scene.rig.log()), counts(&postfix.log()));
        said.0.is_some() && said.1.is_some()
    });
    assert_eq!(said.0, said.1, "ours is the first");
}
