//! `relayctl emergency` and `emergency_mail_sender`: a person is told by another road, whatever is wrong with relayd,
//! its spool and the rest of its settings.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use mailparse::MailHeaderMap as _;
use tests::certificate::{Authority, Validity};
use tests::gateway::{Fault, Gateway, Setup, Stage, Tls};
use tests::hook::Hook;
use tests::program::{built, run};
use tests::rig::{Access, Rig};
use tests::told::{PASSWORD, Told, USER};

/// A rig whose settings end in these sections; relayd does not run.
fn rig_with(sections: impl FnOnce(&Rig) -> String) -> Rig {
    let mut rig = Rig::new(Access::open(9));
    let sections = sections(&rig);
    rig.change(|access| access.sections = sections);
    rig
}

fn emergency(rig: &Rig, arguments: &[&str], body: &[u8]) -> Output {
    run(
        rig.command("relayctl").arg("emergency").args(arguments),
        body,
    )
}

#[track_caller]
fn expect(output: &Output, status: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(output.stdout.is_empty());
    for word in words {
        assert!(said.contains(word), "no {word:?} in:\n{said}");
    }
    if status == 0 && words.is_empty() {
        assert_eq!(said, "");
    }
}

#[test]
fn the_mail_has_complete_headers_and_all_recipients_get_it() {
    for tls in [Tls::StartTls, Tls::Implicit] {
        let server = Told::new(|setup| setup.tls = tls);
        let rig = rig_with(|rig| {
            let more = if tls == Tls::Implicit {
                "tls = implicit\n"
            } else {
                ""
            };
            server.section(rig, "alarm") + more
        });
        let sent = emergency(
            &rig,
            &["Platte voll: größer als", "erlaubt"],
            "zu 99 % belegt\n.\nFrom hier\n".as_bytes(),
        );
        expect(&sent, 0, &[]);
        let [delivery] = &server.deliveries()[..] else {
            panic!("not one message")
        };
        assert_eq!(delivery.addresses(), ["a@person.test", "b@person.test"]);
        let mail = mailparse::parse_mail(&delivery.content).expect("a message");
        let value = |name: &str| mail.headers.get_first_value(name).unwrap_or_default();
        assert_eq!(value("Subject"), "Platte voll: größer als erlaubt");
        assert_eq!(value("From"), format!("relayd on relay <{USER}>"));
        assert_eq!(value("To"), "a@person.test, b@person.test");
        assert_eq!(value("Auto-Submitted"), "auto-generated");
        assert_eq!(value("MIME-Version"), "1.0");
        assert!(
            value("Message-ID").ends_with("@relay.test.example>"),
            "{}",
            value("Message-ID")
        );
        assert!(!value("Date").is_empty());
        let body = mail.get_body().expect("a body");
        assert_eq!(body.trim_end(), "zu 99 % belegt\r\n.\r\nFrom hier");
        server.gateway.expect_good_manners();
    }
}

#[test]
fn it_works_as_emergency_mail_sender() {
    let server = Told::new(|_| {});
    let rig = rig_with(|rig| server.section(rig, "alarm"));
    let program = rig.path().join("emergency_mail_sender");
    symlink(built("relayctl"), &program).expect("the folder is ours");
    let call = |arguments: &[&str], body: &[u8]| {
        let mut command = Command::new(&program);
        command.env("RELAYD_CONFIG", rig.settings()).args(arguments);
        run(&mut command, body)
    };
    expect(&call(&["nothing to say"], b""), 0, &[]);
    assert_eq!(server.gateway.record().connections, 0);
    expect(&call(&["a subject"], b"a body\n"), 0, &[]);
    expect(&call(&[], b"a body\n"), 64, &["SUBJECT"]);
    let debug = call(&["--debug", "another"], b"a hidden body\n");
    expect(
        &debug,
        0,
        &[
            "C: EHLO relay.test.example",
            "C: STARTTLS",
            "C: AUTH PLAIN ***",
            "S: 250",
            "C: QUIT",
        ],
    );
    let said = String::from_utf8_lossy(&debug.stderr);
    let secret = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("\0{USER}\0{PASSWORD}"))
    };
    for hidden in [PASSWORD, &secret, "hidden body"] {
        assert!(!said.contains(hidden), "{said}");
    }
    assert_eq!(server.deliveries().len(), 2);
}

#[test]
fn a_subject_with_a_line_break_is_refused() {
    let server = Told::new(|_| {});
    let rig = rig_with(|rig| server.section(rig, "alarm"));
    for subject in ["x\nBcc: everybody@example.com", "x\rX: y"] {
        expect(&emergency(&rig, &[subject], b"body\n"), 64, &["line break"]);
    }
    assert_eq!(server.gateway.record().connections, 0);
}

/// relayd was killed, its spool is gone or read-only, and the settings are nonsense but for `[alarm]`.
#[test]
fn nothing_of_relayd_is_needed() {
    let server = Told::new(|_| {});
    let mut rig = rig_with(|rig| server.section(rig, "alarm"));
    rig.start();
    rig.kill();
    expect(&emergency(&rig, &["killed"], b"body\n"), 0, &[]);
    fs::set_permissions(rig.spool(), fs::Permissions::from_mode(0o500))
        .expect("the folder is ours");
    expect(&emergency(&rig, &["read-only"], b"body\n"), 0, &[]);
    fs::remove_dir_all(rig.spool()).expect("the folder is ours");
    expect(&emergency(&rig, &["no spool"], b"body\n"), 0, &[]);
    let text = fs::read_to_string(rig.settings()).expect("it is there");
    let broken = format!(
        "{}\n[gatewy\nnonsense\u{1}\nspool = \n[listen]\nsmtp = x\n",
        text.replace("[paths]", "[pths")
    );
    fs::write(rig.settings(), broken).expect("the folder is ours");
    let check = run(rig.command("relayd").arg("--check"), b"");
    assert_eq!(check.status.code(), Some(78), "{check:?}");
    expect(&emergency(&rig, &["broken settings"], b"body\n"), 0, &[]);
    assert_eq!(server.deliveries().len(), 4);
}

/// The spool lies on a disk without a free byte.
#[test]
fn a_full_disk_is_no_hindrance() {
    if !tests::namespace::root_or_skip("a_full_disk_is_no_hindrance") {
        return;
    }
    let server = Told::new(|_| {});
    let mut rig = rig_with(|rig| server.section(rig, "alarm"));
    rig.enclose(
        "mount -t tmpfs -o size=64k tmpfs \"$1/spool\"\nhead -c 1M /dev/zero > \"$1/spool/fill\" 2>/dev/null || true",
    );
    let full = run(
        rig.enter(Path::new("/bin/sh"))
            .args(["-c", "echo x > \"$0/spool/y\""])
            .arg(rig.path()),
        b"",
    );
    assert!(!full.status.success(), "the disk is not full");
    expect(&emergency(&rig, &["full"], b"body\n"), 0, &[]);
    assert_eq!(server.deliveries().len(), 1);
}

/// Two accounts, then a webhook, then a command and a file.
fn four_roads(first: &Told, second: &Told, hook: &Hook) -> Rig {
    rig_with(|rig| {
        rig.write(
            "hook.secret",
            &format!("{}/T0/secret-path\n", hook.url()),
            0o600,
        );
        format!(
            "{}{}[alarm chat]\nwebhook = slack\nwebhook_file = hook.secret\n[alarm last]\ncommand = cat > {at}/said\nfile = alarms\n",
            first.section(rig, "alarm"),
            second.section(rig, "alarm spare"),
            at = rig.path().display(),
        )
    })
}

#[test]
fn the_next_road_is_taken_when_one_is_closed() {
    let (first, second) = (Told::new(|_| {}), Told::new(|_| {}));
    first
        .gateway
        .fail(Stage::Auth, Fault::reply("535 5.7.8 no"));
    let hook = Hook::start(200);
    let rig = four_roads(&first, &second, &hook);
    expect(
        &emergency(&rig, &["by the second"], b"body\n"),
        0,
        &["[alarm]): 535 5.7.8 no"],
    );
    assert_eq!(
        (first.deliveries().len(), second.deliveries().len()),
        (0, 1)
    );

    second
        .gateway
        .fail(Stage::Rcpt, Fault::reply("550 5.1.1 unknown"));
    let by_hook = emergency(&rig, &["--debug", "by the <hook>"], b"body & soul\n");
    expect(
        &by_hook,
        0,
        &[
            "a@person.test: 550 5.1.1 unknown",
            "C: POST http://127.0.0.1",
        ],
    );
    assert!(!String::from_utf8_lossy(&by_hook.stderr).contains("secret-path"));
    let [post] = &hook.posts()[..] else {
        panic!("not one post")
    };
    assert_eq!(post.path, "/T0/secret-path");
    let content: serde_json::Value = serde_json::from_str(&post.body).expect("JSON");
    assert_eq!(
        content["text"],
        "*by the &lt;hook&gt;*\n```\nbody &amp; soul\n```"
    );

    hook.answer(404);
    expect(
        &emergency(&rig, &["by the command"], b"to the command\n"),
        0,
        &["webhook ([alarm chat]): 404"],
    );
    assert_eq!(
        fs::read_to_string(rig.path().join("said")).expect("written"),
        "to the command\n"
    );

    let settings = fs::read_to_string(rig.settings()).expect("there");
    fs::write(rig.settings(), settings.replace("cat >", "false >")).expect("ours");
    expect(
        &emergency(&rig, &["by the file"], b"to the file\n"),
        0,
        &["command ([alarm last]): it failed"],
    );
    let mailbox = fs::read_to_string(rig.path().join("alarms")).expect("written");
    assert!(
        mailbox.contains("Subject: by the file\n") && mailbox.contains("\n\nto the file\n"),
        "{mailbox}"
    );
}

#[test]
fn when_every_road_is_closed_each_is_named_and_the_status_says_what_helps() {
    let server = Told::new(|_| {});
    let hook = Hook::start(500);
    let sections = |rig: &Rig| {
        format!(
            "{}[alarm chat]\nwebhook = plain\nwebhook_url = {}/\n",
            server.section(rig, "alarm"),
            hook.url()
        )
    };
    let rig = rig_with(sections);
    server
        .gateway
        .fail(Stage::Greeting, Fault::reply("554 go away"));
    expect(
        &emergency(&rig, &["x"], b"body\n"),
        75,
        &[
            "[alarm]): 554 go away",
            "webhook ([alarm chat]): 500",
            "nobody is told",
        ],
    );
    hook.answer(403);
    expect(
        &emergency(&rig, &["x"], b"body\n"),
        69,
        &["webhook ([alarm chat]): 403"],
    );

    rig.write("alarm.secret", "x\n", 0o644);
    let rig = rig_with(|rig| server.section(rig, "alarm"));
    fs::set_permissions(
        rig.path().join("alarm.secret"),
        fs::Permissions::from_mode(0o644),
    )
    .expect("ours");
    expect(
        &emergency(&rig, &["x"], b"body\n"),
        78,
        &["alarm.secret", "everybody may get at it"],
    );
    let rig = Rig::new(Access::open(9));
    expect(
        &emergency(&rig, &["x"], b"body\n"),
        78,
        &["there is no road for alarms"],
    );
}

/// Certificates are verified, and nothing is said before.
#[test]
fn a_server_that_is_not_who_it_says_gets_nothing() {
    let authority = Authority::new();
    for (identity, words) in [
        (
            authority.issue("other.test", Validity::Current),
            "another host name",
        ),
        (authority.issue("alarms.test", Validity::Expired), "expired"),
        (
            Authority::new().issue("alarms.test", Validity::Current),
            "not verified",
        ),
    ] {
        let server = Told {
            gateway: Gateway::start(Setup::provider(identity)),
            authority: Authority::new(),
        };
        let rig = rig_with(|rig| {
            let section = server.section(rig, "alarm");
            rig.write("alarm.pem", &authority.pem, 0o644);
            section
        });
        expect(&emergency(&rig, &["x"], b"body\n"), 75, &[words]);
        let record = server.gateway.record();
        assert!(
            !record
                .commands
                .iter()
                .any(|command| command.line.starts_with("AUTH"))
        );
    }
}

#[test]
fn a_server_without_starttls_gets_nothing_in_plain_text() {
    let server = Told::new(|setup| setup.tls = Tls::None);
    let rig = rig_with(|rig| server.section(rig, "alarm"));
    expect(
        &emergency(&rig, &["x"], b"body\n"),
        69,
        &["does not offer STARTTLS"],
    );
    let record = server.gateway.record();
    assert!(
        !record
            .commands
            .iter()
            .any(|command| command.line.starts_with("AUTH"))
    );
}

/// What a man in the middle adds in plain text behind the consent to STARTTLS is not read as the server's (I8).
#[test]
fn words_behind_the_consent_to_starttls_are_dropped() {
    let server = Told::new(|_| {});
    server
        .gateway
        .fail(Stage::StartTls, Fault::reply("220 go\n250 injected"));
    let rig = rig_with(|rig| server.section(rig, "alarm"));
    expect(&emergency(&rig, &["x"], b"body\n"), 0, &[]);
    let [delivery] = &server.deliveries()[..] else {
        panic!("not one message")
    };
    assert_eq!(
        (delivery.encrypted, delivery.user.as_deref()),
        (true, Some(USER))
    );
}

#[test]
fn a_server_that_is_the_gateways_too_is_warned_about() {
    let server = Told::new(|_| {});
    let rig = rig_with(|rig| {
        server
            .section(rig, "alarm")
            .replace("localhost", "127.0.0.1")
    });
    expect(
        &emergency(&rig, &["x"], b"body\n"),
        0,
        &["[alarm]: 127.0.0.1 is the gateway's server too"],
    );
    assert_eq!(server.deliveries().len(), 1);
}
