//! More real programs that call `/usr/sbin/sendmail`: mailer libraries that keep `sendmail -bs` open, and the programs
//! with which people and scripts write mail. Each is run where that path is our shim and judged at the gateway by
//! envelope and bytes. Needs root, for the mount namespace.

#![forbid(unsafe_code)]

use nix::unistd::User;
use tests::gateway::{Delivery, Gateway, Setup};
use tests::namespace::root_or_skip;
use tests::postfix::Postfix;
use tests::program::{need, succeed};
use tests::reading::Reading;
use tests::scene::{LIMIT, Scene, TEXT};

/// The uid of `www-data` on every Debian.
const WWW_DATA: u32 = 33;

/// The content of the attachments.
const BINARY_IN_BASE64: &str = "AQJiaW5hcnkDCg==";

/// Begins each script with Symfony Mailer: `message` makes one, `show` prints what was sent, and how.
const SYMFONY: &str = r#"
    require "/usr/share/php/Symfony/Component/Mailer/autoload.php";
    use Symfony\Component\Mailer\{Mailer, Transport};
    use Symfony\Component\Mailer\Transport\Smtp\SmtpTransport;
    use Symfony\Component\Mailer\Transport\Smtp\Stream\ProcessStream;
    use Symfony\Component\Mime\{Address, Email};
    function message($subject) {
        return (new Email())->from(new Address("app@x.test", "App"))->sender("bounce@x.test")
            ->to(new Address("to@x.test", "Tö"))->bcc("hidden@x.test")->subject($subject)->text(getenv("TEXT"));
    }
    function show($sent) {
        echo $sent->toString(), "\0";
        fwrite(STDERR, $sent->getDebug());
    }
"#;

/// Runs a script of Symfony's as www-data; gives the messages as it says it sent them, and the dialogue.
#[track_caller]
fn symfony(scene: &Scene, script: &str) -> (Vec<String>, String) {
    need(
        "/usr/share/php/Symfony/Component/Mailer/autoload.php",
        "php-symfony-mailer",
    );
    let script = format!("{SYMFONY}{script}");
    let mut command = scene.as_user(WWW_DATA, &["php", "-r", &script]);
    let output = tests::program::run(command.env("TEXT", TEXT), b"");
    let dialogue = String::from_utf8_lossy(&output.stderr).replace('\r', "");
    let sent = String::from_utf8(output.stdout).expect("Symfony writes UTF-8");
    assert!(output.status.success(), "{sent}{dialogue}");
    (
        sent.split_terminator('\0').map(str::to_owned).collect(),
        dialogue,
    )
}

/// Each message arrived once, with what Symfony says it sent and `after` behind it.
#[track_caller]
fn expect_symfonys(scene: &Scene, sent: &[String], after: &str) {
    let mut deliveries = scene.gateway.expect(sent.len(), LIMIT);
    deliveries.sort_by_key(|delivery| delivery.fields("Subject"));
    assert_eq!(deliveries.len(), sent.len());
    for (message, delivery) in sent.iter().zip(&deliveries) {
        assert_eq!(
            delivery.envelope(),
            ("bounce@x.test", vec!["hidden@x.test", "to@x.test"])
        );
        assert_eq!(delivery.fields("From"), ["App <app@x.test>"]);
        assert!(delivery.fields("Bcc").is_empty());
        scene.expect_exactly(delivery, format!("{message}{after}").as_bytes());
        assert_eq!(
            Reading::of(&delivery.content).text().trim_end(),
            TEXT.trim_end()
        );
    }
}

/// A subject, and one recipient of each kind; the last is a name of this host.
const EVERYBODY: &str = "-s Gr\u{fc}\u{df}e -c cc@x.test -b hidden@x.test to@x.test root";

/// TEXT came to [`EVERYBODY`] from www-data, as a reader sees it.
#[track_caller]
fn expect_for_everybody(scene: &Scene, delivery: &Delivery) -> Reading {
    assert_eq!(delivery.sender, "www-data@test.example");
    let recipients = [
        "cc@x.test",
        "hidden@x.test",
        "root@test.example",
        "to@x.test",
    ];
    assert_eq!(delivery.addresses(), recipients);
    assert!(delivery.fields("Bcc").is_empty());
    let read = Reading::of(&delivery.content);
    assert_eq!(
        (read.subject.as_str(), read.text()),
        ("Gr\u{fc}\u{df}e", TEXT)
    );
    scene.expect_complete_header(delivery);
    read
}

/// A command line without blanks in its words.
fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// The default of Symfony's `sendmail://` transport: one `sendmail -bs` for all messages of a worker.
#[test]
fn symfony_mailer_keeps_a_session_open() {
    if !root_or_skip("symfony_mailer_keeps_a_session_open") {
        return;
    }
    let scene = Scene::open();
    let script = r#"
        $transport = Transport::fromDsn("sendmail://default");
        foreach (["1", "2", "3"] as $n) show($transport->send(message($n)));"#;
    let (sent, dialogue) = symfony(&scene, script);
    // Symfony ends what it sends with CR LF "." CR LF wherever the text ends.
    expect_symfonys(&scene, &sent, "\r\n");
    assert_eq!(dialogue.matches("< 220 ").count(), 1, "{dialogue}");
    assert_eq!(dialogue.matches("> MAIL FROM").count(), 3, "{dialogue}");
}

/// A worker that pings before each message, starts anew after every second one, and goes on after a refusal.
#[test]
fn symfony_mailer_pings_and_restarts() {
    if !root_or_skip("symfony_mailer_pings_and_restarts") {
        return;
    }
    let mut scene = Scene::prepare();
    scene
        .rig
        .change(|access| access.top = "message_size_limit = 100000\n".to_owned());
    scene.rig.start();
    let script = r#"
        $stream = new ProcessStream();
        $stream->setCommand("/usr/sbin/sendmail -bs");
        $transport = new SmtpTransport($stream);
        $transport->setRestartThreshold(2);
        $transport->setPingThreshold(0);
        foreach (["1", "2", "3"] as $n) show($transport->send(message($n)));
        try {
            $transport->send(message("refused")->text(str_repeat("too large\n", 20000)));
            exit(1);
        } catch (Symfony\Component\Mailer\Exception\TransportException $e) {
            fwrite(STDERR, $e->getDebug());
        }
        foreach (["4", "5"] as $n) show($transport->send(message($n)));"#;
    let (sent, dialogue) = symfony(&scene, script);
    expect_symfonys(&scene, &sent, "\r\n");
    assert_eq!(sent.len(), 5);
    assert!(
        dialogue.contains("> NOOP\n< 250 ") && dialogue.contains("> QUIT\n< 221 "),
        "{dialogue}"
    );
    for said in ["< 552 5.3.4 ", "> RSET\n< 250 "] {
        assert!(dialogue.contains(said), "{said}: {dialogue}");
    }
    let sessions = dialogue.matches("< 220 ").count();
    assert_eq!(sessions, 3, "after the second and the fourth: {dialogue}");
}

/// The same while relayd is down: the shim holds the session, and nothing is lost.
#[test]
fn symfony_mailer_does_not_notice_that_relayd_is_down() {
    if !root_or_skip("symfony_mailer_does_not_notice_that_relayd_is_down") {
        return;
    }
    let mut scene = Scene::open();
    scene.rig.stop();
    let script = r#"
        $transport = Transport::fromDsn("sendmail://default");
        foreach (["1", "2", "3"] as $n) show($transport->send(message($n)));"#;
    let (sent, dialogue) = symfony(&scene, script);
    assert_eq!(dialogue.matches("< 220 ").count(), 1, "{dialogue}");
    scene.rig.start();
    expect_symfonys(&scene, &sent, "\r\n");
    scene.rig.expect_empty_spool(LIMIT);
}

#[test]
fn symfony_mailer_with_t() {
    if !root_or_skip("symfony_mailer_with_t") {
        return;
    }
    let scene = Scene::open();
    let script = r#"
        $transport = Transport::fromDsn("sendmail://default?command=" . urlencode("/usr/sbin/sendmail -t -i"));
        foreach (["1", "2"] as $n) show($transport->send(message($n)));"#;
    let (sent, _) = symfony(&scene, script);
    assert_eq!(sent.len(), 2);
    expect_symfonys(&scene, &sent, "");
}

/// Without `-i` Symfony doubles dots at line starts. Postfix leaves them double, and so do we.
#[test]
fn dots_that_symfony_doubles_without_i_stay_as_with_postfix() {
    if !root_or_skip("dots_that_symfony_doubles_without_i_stay_as_with_postfix") {
        return;
    }
    let scene = Scene::open();
    let script = r#"
        $transport = Transport::fromDsn("sendmail://default?command=" . urlencode("/usr/sbin/sendmail -t"));
        show($transport->send(message("1")));"#;
    let (sent, _) = symfony(&scene, script);
    let delivery = scene.one();
    assert_eq!(
        delivery.envelope(),
        ("bounce@x.test", vec!["hidden@x.test", "to@x.test"])
    );
    assert!(sent[0].contains("\r\n.\r\n..two\r\n"));
    scene.expect_exactly(&delivery, sent[0].replace("\n.", "\n..").as_bytes());

    let sink = Gateway::start(Setup::open_sink());
    let postfix = Postfix::client(sink.port(), "test.example");
    let given = b"From: app@x.test\n\n..\n...two\n";
    let output = postfix.sendmail(&["-fbounce@x.test", "--", "to@x.test"], given);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(sink.expect(1, LIMIT)[0].body(), b"..\r\n...two\r\n");
}

#[test]
fn nodemailer_by_sendmail() {
    if !root_or_skip("nodemailer_by_sendmail") {
        return;
    }
    need("/usr/share/nodejs/nodemailer", "node-nodemailer");
    let scene = Scene::open();
    let script = r#"
        const e = process.env;
        const transport = require("nodemailer").createTransport({ sendmail: true, newline: e.NEWLINE });
        const message = { from: "App <app@x.test>", to: ["to@x.test", "Tö <second@x.test>"], bcc: "hidden@x.test",
            subject: "Grüße", text: e.TEXT };
        transport.sendMail(message).then(sent => console.log(JSON.stringify(sent.envelope)));"#;
    for (index, newline) in ["unix", "windows"].into_iter().enumerate() {
        let mut command = scene.as_user(WWW_DATA, &["node", "-e", script]);
        command
            .env("NODE_PATH", "/usr/share/nodejs")
            .env("NEWLINE", newline);
        succeed(command.env("TEXT", TEXT), b"");
        let delivery = scene.nth(index);
        assert_eq!(
            delivery.envelope(),
            (
                "app@x.test",
                vec!["hidden@x.test", "second@x.test", "to@x.test"]
            )
        );
        assert!(delivery.fields("Bcc").is_empty());
        let read = Reading::of(&delivery.content);
        assert_eq!(
            (read.subject.as_str(), read.text()),
            ("Gr\u{fc}\u{df}e", TEXT)
        );
        assert_eq!(read.defects, Vec::<String>::new());
        scene.expect_complete_header(&delivery);
    }
}

/// Both as in `mutt -s … -x -a report.bin -- to@x.test < text`, and with an envelope sender of its own.
#[test]
fn mutt() {
    if !root_or_skip("mutt") {
        return;
    }
    need("/usr/bin/mutt", "mutt");
    let scene = Scene::open();
    scene.write(
        "r\u{e9}port.bin",
        WWW_DATA,
        0o644,
        "\u{1}\u{2}binary\u{3}\n",
    );
    // Mutt completes bare addresses itself, with the name of the machine; here with the host name of our settings.
    scene.write(
        ".muttrc",
        WWW_DATA,
        0o644,
        "set hostname=relay.test.example\n",
    );
    let mut command = scene.as_user(WWW_DATA, &words(&format!("mutt -x {EVERYBODY}")));
    succeed(command.env("EMAIL", "App <app@x.test>"), TEXT.as_bytes());
    let delivery = scene.nth(0);
    let read = expect_for_everybody(&scene, &delivery);
    assert_eq!(read.from, [("App".to_owned(), "app@x.test".to_owned())]);

    let setting = "set use_envelope_from envelope_from_address=bounce@x.test use_8bitmime";
    let mut line = vec!["mutt", "-e", setting];
    line.extend(words("-x -s s -a r\u{e9}port.bin -- to@x.test"));
    succeed(&mut scene.as_user(WWW_DATA, &line), TEXT.as_bytes());
    let delivery = scene.nth(1);
    assert_eq!(delivery.envelope(), ("bounce@x.test", vec!["to@x.test"]));
    let read = Reading::of(&delivery.content);
    let names: Vec<&str> = read.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["", "r\u{e9}port.bin"]);
    assert_eq!(read.parts[0].content.trim_end(), TEXT.trim_end());
    assert_eq!(read.parts[1].content, BINARY_IN_BASE64);
    assert_eq!(read.defects, Vec::<String>::new());
}

#[test]
fn s_nail() {
    if !root_or_skip("s_nail") {
        return;
    }
    need("/usr/bin/s-nail", "s-nail");
    let scene = Scene::open();
    scene.write("report.bin", WWW_DATA, 0o644, "\u{1}\u{2}binary\u{3}\n");
    let line = format!("s-nail {EVERYBODY}");
    succeed(&mut scene.as_user(WWW_DATA, &words(&line)), TEXT.as_bytes());
    expect_for_everybody(&scene, &scene.nth(0));

    let mut line = vec!["s-nail", "-r", "App <app@x.test>"];
    line.extend(words("-s s -a report.bin to@x.test"));
    succeed(&mut scene.as_user(WWW_DATA, &line), TEXT.as_bytes());
    let delivery = scene.nth(1);
    assert_eq!(delivery.envelope(), ("app@x.test", vec!["to@x.test"]));
    let read = Reading::of(&delivery.content);
    assert_eq!(read.from, [("App".to_owned(), "app@x.test".to_owned())]);
    assert_eq!(read.parts[0].content, TEXT);
    assert_eq!(read.parts[1].content, BINARY_IN_BASE64);
}

/// `echo hi | mail root` by whichever program `mail` is, with root's mail going where the settings say.
#[test]
fn mail_to_root() {
    if !root_or_skip("mail_to_root") {
        return;
    }
    let mut scene = Scene::prepare();
    scene
        .rig
        .change(|access| access.top = "root = admin@x.test\n".to_owned());
    scene.rig.start();
    let programs = [
        ("mail", "bsd-mailx"),
        ("bsd-mailx", "bsd-mailx"),
        ("s-nail", "s-nail"),
    ];
    for (index, (program, package)) in programs.into_iter().enumerate() {
        need(&format!("/usr/bin/{program}"), package);
        let script = format!("echo hi | {program} -s s root");
        succeed(&mut scene.as_user(0, &["sh", "-c", &script]), b"");
        let delivery = scene.nth(index);
        assert_eq!(
            delivery.envelope(),
            ("root@test.example", vec!["admin@x.test"]),
            "{program}"
        );
        assert_eq!(delivery.body(), b"hi\r\n", "{program}");
        scene.expect_complete_header(&delivery);
    }
}

/// The real logcheck as its own user: what it finds in a log goes to root, through mime-construct.
#[test]
fn logcheck() {
    if !root_or_skip("logcheck") {
        return;
    }
    need("/usr/sbin/logcheck", "logcheck");
    let mut scene = Scene::prepare();
    scene
        .rig
        .change(|access| access.top = "root = admin@x.test\n".to_owned());
    scene.rig.start();
    let user = User::from_name("logcheck")
        .ok()
        .flatten()
        .expect("the package makes the user");
    let id = user.uid.as_raw();
    let at = scene.home();
    let rules = [
        "rules",
        "rules/cracking.d",
        "rules/violations.d",
        "rules/violations.ignore.d",
        "rules/ignore.d.server",
        "rules/ignore.d.paranoid",
    ];
    for folder in ["state", "lock", "lists"].into_iter().chain(rules) {
        scene.fresh_folder(folder, id);
    }
    let found = "2026-01-01T00:00:00.000000+00:00 host program[1]: something od\u{fc}\n";
    scene.write("log", id, 0o600, found);
    scene.write(
        "log.conf",
        id,
        0o600,
        &format!(
            "LOCKDIR={0}/lock\nLOCKFILE={0}/lock/lock\nTMP={0}\n",
            at.display()
        ),
    );
    let script = "exec logcheck -c log.conf -l \"$PWD/log\" -L none -D lists -r rules -S state -H host.test -m root";
    succeed(&mut scene.as_user(id, &["sh", "-c", script]), b"");
    let delivery = scene.one();
    assert_eq!(
        delivery.envelope(),
        ("logcheck@test.example", vec!["admin@x.test"])
    );
    // It does not say which character set this is.
    let text = Reading::of(&delivery.content)
        .text()
        .replace("\\xc3\\xbc", "\u{fc}");
    assert!(text.contains(found), "{text}");
    assert_eq!(
        Reading::of(&delivery.content).to,
        [(String::new(), "root@test.example".to_owned())]
    );
    scene.expect_complete_header(&delivery);
}
