//! Real programs that call `/usr/sbin/sendmail`, each run where that path is our shim, and judged at the gateway by
//! envelope and bytes. Needs root, for the mount namespace.

#![forbid(unsafe_code)]

use std::process::Command;

use tests::cron::Cron;
use tests::namespace::root_or_skip;
use tests::program::{built, need, succeed};
use tests::scene::{LIMIT, Scene, TEXT, crlf, to_crlf};

/// The uid of `www-data` on every Debian.
const WWW_DATA: u32 = 33;

#[test]
fn php_mail() {
    if !root_or_skip("php_mail") {
        return;
    }
    need("/usr/bin/php", "php-cli");
    let scene = Scene::open();
    let script = r#"
        $headers = "From: App <app@x.test>\r\nCc: cc@x.test\r\nBcc: hidden@x.test";
        exit(mail("To Me <to@x.test>", "Subject line", getenv("TEXT"), $headers) ? 0 : 1);"#;
    succeed(
        scene
            .as_user(WWW_DATA, &["php", "-r", script])
            .env("TEXT", TEXT),
        b"",
    );
    let delivery = scene.one();
    assert_eq!(delivery.sender, "www-data@test.example");
    assert_eq!(
        delivery.addresses(),
        ["cc@x.test", "hidden@x.test", "to@x.test"]
    );
    assert_eq!(delivery.fields("To"), ["To Me <to@x.test>"]);
    assert_eq!(delivery.fields("From"), ["App <app@x.test>"]);
    assert_eq!(
        delivery.body(),
        [&crlf(TEXT)[..], b"\r\n"].concat(),
        "PHP adds one line end"
    );
    scene.expect_complete_header(&delivery);
}

#[test]
fn php_mail_with_fifth_parameter() {
    if !root_or_skip("php_mail_with_fifth_parameter") {
        return;
    }
    need("/usr/bin/php", "php-cli");
    let scene = Scene::open();
    for (index, parameter) in ["-fbounce@x.test", "-f bounce@x.test -oem"]
        .into_iter()
        .enumerate()
    {
        let script =
            r#"exit(mail("to@x.test", "s", "text", "From: app@x.test", getenv("FIFTH")) ? 0 : 1);"#;
        succeed(
            scene
                .as_user(WWW_DATA, &["php", "-r", script])
                .env("FIFTH", parameter),
            b"",
        );
        let delivery = scene.nth(index);
        assert_eq!(delivery.sender, "bounce@x.test", "{parameter}");
        assert_eq!(delivery.addresses(), ["to@x.test"]);
        assert_eq!(delivery.body(), b"text\r\n");
    }
}

#[test]
fn phpmailer_in_its_three_ways() {
    if !root_or_skip("phpmailer_in_its_three_ways") {
        return;
    }
    need(
        "/usr/share/php/libphp-phpmailer/autoload.php",
        "libphp-phpmailer",
    );
    let scene = Scene::open();
    let script = r#"
        require "/usr/share/php/libphp-phpmailer/autoload.php";
        $m = new PHPMailer\PHPMailer\PHPMailer(true);
        getenv("WAY") == "mail" ? $m->isMail() : $m->isSendmail();
        $m->CharSet = "utf-8";
        $m->setFrom("app@x.test", "App", false);
        if (getenv("SENDER")) $m->Sender = getenv("SENDER");
        $m->addAddress("to@x.test", "Tö");
        $m->addBCC("hidden@x.test");
        $m->Subject = "Grüße";
        $m->Body = getenv("TEXT");
        $m->send();
        echo $m->getSentMIMEMessage();"#;
    let ways = [
        ("sendmail", "bounce@x.test"),
        ("sendmail", ""),
        ("mail", "bounce@x.test"),
        ("mail", ""),
    ];
    for (index, (way, sender)) in ways.into_iter().enumerate() {
        let mut command = scene.as_user(WWW_DATA, &["php", "-r", script]);
        let sent = succeed(
            command
                .env("TEXT", TEXT)
                .env("WAY", way)
                .env("SENDER", sender),
            b"",
        );
        let delivery = scene.nth(index);
        let expected = if sender.is_empty() {
            "www-data@test.example"
        } else {
            sender
        };
        assert_eq!(delivery.sender, expected, "{way} {sender}");
        assert_eq!(
            delivery.addresses(),
            ["hidden@x.test", "to@x.test"],
            "{way} {sender}"
        );
        assert!(delivery.fields("Bcc").is_empty());
        expect_body_of(&scene, &delivery, sent.as_bytes());
    }
}

/// The argument forms that PHPMailer 6.6 and 7.1 build, without PHP in between.
#[test]
fn phpmailers_argument_forms() {
    let scene = Scene::open();
    let message = b"To: to@x.test\nBcc: hidden@x.test\nFrom: app@x.test\nSubject: s\n\n.\ntext\n";
    let forms: [&[&str]; 5] = [
        &["-oi", "-fbounce@x.test", "-t"],
        &["-oi", "-t"],
        &["-fbounce@x.test", "-i", "-t"],
        &["-i", "-t"],
        &["-t", "-i", "-fbounce@x.test"],
    ];
    for (index, form) in forms.into_iter().enumerate() {
        scene.rig.send(form, message);
        let delivery = scene.nth(index);
        assert_eq!(
            delivery.sender == "bounce@x.test",
            form.contains(&"-fbounce@x.test"),
            "{form:?}"
        );
        assert_eq!(
            delivery.addresses(),
            ["hidden@x.test", "to@x.test"],
            "{form:?}"
        );
        assert_eq!(delivery.body(), b".\r\ntext\r\n", "{form:?}");
    }
}

#[test]
fn ruby_mail_gem() {
    if !root_or_skip("ruby_mail_gem") {
        return;
    }
    need("/usr/bin/ruby", "ruby");
    let scene = Scene::open();
    let script = r#"
        require "mail"
        m = Mail.new do
          from "Rails App <app@x.test>"
          to ["to@x.test", "second@x.test"]
          bcc "hidden@x.test"
          subject "Grüße"
          body ENV["TEXT"]
        end
        m.charset = "UTF-8"
        m.delivery_method :sendmail
        m.deliver!
        print m.encoded"#;
    let sent = succeed(
        scene
            .as_user(WWW_DATA, &["ruby", "-e", script])
            .env("TEXT", TEXT),
        b"",
    );
    let delivery = scene.one();
    assert_eq!(delivery.sender, "app@x.test", "the gem passes -f");
    assert_eq!(
        delivery.addresses(),
        ["hidden@x.test", "second@x.test", "to@x.test"]
    );
    assert!(delivery.fields("Bcc").is_empty());
    expect_body_of(&scene, &delivery, sent.as_bytes());
}

/// The FAQ's pipe to `sendmail -t -i`, the common subprocess idiom, and the email.policy page's `sendmail ADDRESS` with
/// CRLF line ends.
#[test]
fn python_examples_of_the_documentation() {
    if !root_or_skip("python_examples_of_the_documentation") {
        return;
    }
    need("/usr/bin/python3", "python3");
    let scene = Scene::open();
    let faq = r#"
import os
p = os.popen("%s -t -i" % "/usr/sbin/sendmail", "w")
p.write("To: to@x.test\n")
p.write("Subject: test\n")
p.write("\n")
p.write("Some text\n")
p.write("some more text\n")
sts = p.close()
assert sts is None, sts"#;
    succeed(&mut scene.as_user(WWW_DATA, &["python3", "-c", faq]), b"");
    let delivery = scene.nth(0);
    assert_eq!(
        (delivery.sender.as_str(), delivery.addresses()),
        ("www-data@test.example", vec!["to@x.test"])
    );
    assert_eq!(delivery.body(), b"Some text\r\nsome more text\r\n");
    scene.expect_complete_header(&delivery);

    let begin = r#"
import os, sys
from email.message import EmailMessage
from email.generator import BytesGenerator
from subprocess import Popen, PIPE, run
msg = EmailMessage()
msg["From"] = "App <app@x.test>"
msg["To"] = "To Me <to@x.test>"
msg["Subject"] = "Grüße"
msg.set_content(os.environ["TEXT"].replace("\n.\n", "\n"), cte="8bit")
"#;
    let subprocess = r#"
run(["/usr/sbin/sendmail", "-t", "-oi"], input=msg.as_bytes(), check=True)
sys.stdout.buffer.write(msg.as_bytes())"#;
    let policy = r#"
p = Popen(["sendmail", str(msg["To"].addresses[0])], stdin=PIPE)
g = BytesGenerator(p.stdin, policy=msg.policy.clone(linesep="\r\n"))
g.flatten(msg)
p.stdin.close()
assert p.wait() == 0
sys.stdout.buffer.write(msg.as_bytes())"#;
    for (index, end) in [subprocess, policy].into_iter().enumerate() {
        let script = format!("{begin}{end}");
        let sent = succeed(
            scene
                .as_user(WWW_DATA, &["python3", "-c", &script])
                .env("TEXT", TEXT),
            b"",
        );
        let delivery = scene.nth(index + 1);
        assert_eq!(
            (delivery.sender.as_str(), delivery.addresses()),
            ("www-data@test.example", vec!["to@x.test"])
        );
        expect_body_of(&scene, &delivery, sent.as_bytes());
    }
}

#[test]
fn perl_mime_lite() {
    if !root_or_skip("perl_mime_lite") {
        return;
    }
    need("/usr/share/perl5/MIME/Lite.pm", "libmime-lite-perl");
    let scene = Scene::open();
    let script = r#"
        use MIME::Lite;
        my $m = MIME::Lite->new(From => 'app@x.test', To => 'to@x.test', Bcc => 'hidden@x.test',
            Subject => 'report', Type => 'TEXT', Encoding => '8bit', Data => $ENV{TEXT});
        $ENV{FORM} ? $m->send('sendmail', $ENV{FORM}) : $m->send or die;
        print $m->as_string;"#;
    for (index, form) in ["", "/usr/lib/sendmail -t -oi -oem"]
        .into_iter()
        .enumerate()
    {
        let mut command = scene.as_user(WWW_DATA, &["perl", "-e", script]);
        let sent = succeed(command.env("TEXT", TEXT).env("FORM", form), b"");
        let delivery = scene.nth(index);
        let expected = if form.is_empty() {
            "app@x.test"
        } else {
            "www-data@test.example"
        };
        assert_eq!(delivery.sender, expected, "{form}");
        assert_eq!(delivery.addresses(), ["hidden@x.test", "to@x.test"]);
        assert!(delivery.fields("Bcc").is_empty());
        expect_body_of(&scene, &delivery, sent.as_bytes());
    }
}

#[test]
fn bsd_mailx() {
    if !root_or_skip("bsd_mailx") {
        return;
    }
    need("/usr/bin/bsd-mailx", "bsd-mailx");
    let scene = Scene::open();
    let line = [
        "bsd-mailx",
        "-s",
        "subject line",
        "-c",
        "cc@x.test",
        "-b",
        "hidden@x.test",
        "to@x.test",
        "root",
    ];
    succeed(&mut scene.as_user(WWW_DATA, &line), TEXT.as_bytes());
    let delivery = scene.one();
    assert_eq!(delivery.sender, "www-data@test.example");
    assert_eq!(
        delivery.addresses(),
        [
            "cc@x.test",
            "hidden@x.test",
            "root@test.example",
            "to@x.test"
        ]
    );
    assert!(delivery.fields("Bcc").is_empty());
    assert_eq!(delivery.fields("Subject"), ["subject line"]);
    assert_eq!(delivery.body(), crlf(TEXT));
    scene.expect_complete_header(&delivery);
}

#[test]
fn git_send_email() {
    if !root_or_skip("git_send_email") {
        return;
    }
    need("/usr/lib/git-core/git-send-email", "git-email");
    let scene = Scene::open();
    let script = r#"
        set -e
        export GIT_CONFIG_NOSYSTEM=1
        git init -q -b main .
        git config user.name "Some Body" && git config user.email body@x.test
        printf '.\nFrom here\ngr\303\274n\n' > file
        git add file && git commit -q -m "add a file"
        git send-email -q -1 --confirm=never --suppress-cc=all --to=list@x.test --cc=cc@x.test $MORE >&2
        git format-patch -1 --stdout"#;
    for (index, more) in ["", "--envelope-sender=bounce@x.test"]
        .into_iter()
        .enumerate()
    {
        let mut command = scene.as_user(WWW_DATA, &["sh", "-c", script]);
        command.current_dir(scene.fresh_folder(&format!("repository{index}"), WWW_DATA));
        let patch = succeed(command.env("MORE", more), b"");
        let delivery = scene.nth(index);
        let expected = if more.is_empty() {
            "www-data@test.example"
        } else {
            "bounce@x.test"
        };
        assert_eq!(delivery.sender, expected);
        assert_eq!(delivery.addresses(), ["cc@x.test", "list@x.test"]);
        assert_eq!(delivery.fields("Subject"), ["[PATCH] add a file"]);
        expect_body_of(&scene, &delivery, patch.as_bytes());
    }
}

#[test]
fn debian_cron() {
    if !root_or_skip("debian_cron") {
        return;
    }
    let scene = Scene::open();
    let table =
        "MAILTO=admin@x.test,second@x.test\n@reboot printf 'line one\\n.\\nlast \\303\\274\\n'\n";
    let _cron = Cron::start(&scene, table, "@reboot nobody echo to the user\n");
    let deliveries = scene.gateway.expect(2, LIMIT);

    let to_admin = deliveries
        .iter()
        .find(|d| d.recipients.len() == 2)
        .expect("the first job's mail");
    assert_eq!(to_admin.addresses(), ["admin@x.test", "second@x.test"]);
    assert_eq!(to_admin.sender, "www-data@test.example");
    assert_eq!(to_admin.body(), b"line one\r\n.\r\nlast \xc3\xbc\r\n");
    assert!(to_admin.parameters.contains(&"BODY=8BITMIME".to_owned()));
    assert!(to_admin.fields("Subject")[0].starts_with("Cron <www-data@"));
    scene.expect_complete_header(to_admin);
    let to_user = deliveries
        .iter()
        .find(|d| d.recipients.len() == 1)
        .expect("the second job's mail");
    assert_eq!(
        (to_user.sender.as_str(), to_user.addresses()),
        ("nobody@test.example", vec!["nobody@test.example"])
    );
    assert_eq!(to_user.body(), b"to the user\r\n");
    scene.gateway.expect_good_manners();
}

/// Callers that pick `sendmail -bs` and talk SMTP to it (Symfony, Alpine, nmh).
#[test]
fn smtp_on_standard_input() {
    let scene = Scene::open();
    let dialogue = b"HELO app.test\r\nMAIL FROM:<app@x.test>\r\nRCPT TO:<to@x.test>\r\nDATA\r\nSubject: s\r\n\r\n..\r\ntext\r\n.\r\nQUIT\r\n";
    let output = tests::program::run(
        Command::new(built("sendmail"))
            .arg("-bs")
            .env("RELAYD_CONFIG", scene.rig.settings()),
        dialogue,
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.stderr.is_empty() && output.status.success(),
        "{output:?}"
    );
    let codes: Vec<&str> = said
        .lines()
        .filter(|l| l.as_bytes().get(3) == Some(&b' '))
        .map(|l| &l[..3])
        .collect();
    assert_eq!(
        codes,
        ["220", "250", "250", "250", "354", "250", "221"],
        "{said}"
    );
    let delivery = scene.one();
    assert_eq!(
        (delivery.sender.as_str(), delivery.addresses()),
        ("app@x.test", vec!["to@x.test"])
    );
    assert_eq!(delivery.body(), b".\r\ntext\r\n");
}

/// The body is what the caller itself says it sent, line ends aside.
#[track_caller]
fn expect_body_of(scene: &Scene, delivery: &tests::gateway::Delivery, sent: &[u8]) {
    let sent = to_crlf(sent);
    let at = sent
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("the caller printed its message");
    let trimmed = |bytes: &[u8]| bytes.trim_ascii_end().to_vec();
    let (got, expected) = (trimmed(delivery.body()), trimmed(&sent[at + 4..]));
    assert!(
        got == expected,
        "{}\n---\n{}",
        String::from_utf8_lossy(&got),
        String::from_utf8_lossy(&expected)
    );
    scene.expect_complete_header(delivery);
    scene.gateway.expect_good_manners();
}
