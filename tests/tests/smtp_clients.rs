//! Real mailer libraries that speak SMTP to relayd's ports: in clear on the loopback port, and with STARTTLS and AUTH
//! on the submission port. Judged at the gateway by envelope and bytes. Works for any user.

#![forbid(unsafe_code)]

use std::process::Command;

use tests::doors::{Doors, MESSAGE, USER, expect_received};
use tests::gateway::Delivery;
use tests::program::need;
use tests::reading::Reading;
use tests::scene::{LIMIT, TEXT};

#[test]
fn phpmailer_by_smtp() {
    need(
        "/usr/share/php/libphp-phpmailer/autoload.php",
        "libphp-phpmailer",
    );
    let doors = Doors::open();
    let script = r#"
        require "/usr/share/php/libphp-phpmailer/autoload.php";
        $m = new PHPMailer\PHPMailer\PHPMailer(true);
        $m->isSMTP();
        $m->SMTPKeepAlive = true;
        $m->Helo = "app.test";
        $m->Host = getenv("HOST");
        $m->Port = (int) getenv("SMTP");
        if (getenv("METHOD")) {
            $m->Port = (int) getenv("SUBMISSION");
            $m->SMTPSecure = "tls";
            $m->SMTPAuth = true;
            $m->AuthType = getenv("METHOD");
            $m->Username = getenv("USERNAME");
            $m->Password = getenv("PASSWORD");
            $m->SMTPOptions = ["ssl" => ["cafile" => getenv("CA")]];
        }
        $m->CharSet = "utf-8";
        $m->Encoding = "8bit";
        $m->setFrom("app@x.test", "App");
        $m->Sender = "bounce@x.test";
        $m->addAddress("to@x.test", "Tö");
        $m->addBCC("hidden@x.test");
        $m->Body = getenv("TEXT");
        foreach (["one", "two"] as $subject) {
            $m->Subject = $subject;
            $m->send();
            echo $m->getSentMIMEMessage(), "\0";
        }
        $m->smtpClose();"#;
    for (round, method) in ["", "PLAIN", "LOGIN"].into_iter().enumerate() {
        let mut command = doors.client(&["php", "-r", script]);
        command.env("METHOD", method);
        let protocol = if method.is_empty() {
            "ESMTP"
        } else {
            "ESMTPSA"
        };
        expect_two(&doors, round, &doors.run(command), protocol);
    }
}

/// Symfony's `smtp://` transport: one session for all messages, and TLS and AUTH as soon as they are offered.
#[test]
fn symfony_mailer_by_smtp() {
    need(
        "/usr/share/php/Symfony/Component/Mailer/autoload.php",
        "php-symfony-mailer",
    );
    let doors = Doors::open();
    let script = r#"
        require "/usr/share/php/Symfony/Component/Mailer/autoload.php";
        use Symfony\Component\Mailer\Transport\Smtp\EsmtpTransport;
        use Symfony\Component\Mime\Email;
        $secured = getenv("SECURED");
        $transport = new EsmtpTransport(getenv("HOST"), (int) getenv($secured ? "SUBMISSION" : "SMTP"));
        $transport->setLocalDomain("app.test");
        if ($secured) {
            $transport->setUsername(getenv("USERNAME"))->setPassword(getenv("PASSWORD"));
            $transport->getStream()->setStreamOptions(["ssl" => ["cafile" => getenv("CA")]]);
        }
        foreach (["one", "two"] as $subject) {
            $mail = (new Email())->from("App <app@x.test>")->sender("bounce@x.test")->to("to@x.test")
                ->bcc("hidden@x.test")->subject($subject)->text(getenv("TEXT"));
            echo $transport->send($mail)->toString(), "\0";
        }"#;
    for (round, (secured, protocol)) in [("", "ESMTP"), ("1", "ESMTPSA")].into_iter().enumerate() {
        let mut command = doors.client(&["php", "-r", script]);
        command.env("SECURED", secured);
        expect_two(&doors, round, &doors.run(command), protocol);
    }
}

/// Two messages came in this round, each as the client says it sent it, with the line end that it adds.
#[track_caller]
fn expect_two(doors: &Doors, round: usize, sent: &str, protocol: &str) {
    doors.scene.gateway.expect(2 * round + 2, LIMIT);
    let mut deliveries = doors.scene.gateway.record().deliveries.split_off(2 * round);
    deliveries.sort_by_key(|delivery| delivery.fields("Subject"));
    assert_eq!((sent.matches('\0').count(), deliveries.len()), (2, 2));
    for (message, delivery) in sent.split_terminator('\0').zip(&deliveries) {
        let expected = ("bounce@x.test", vec!["hidden@x.test", "to@x.test"]);
        assert_eq!(delivery.envelope(), expected);
        doors
            .scene
            .expect_exactly(delivery, format!("{message}\r\n").as_bytes());
        expect_received(delivery, "app.test", protocol);
    }
}

/// Begins each script with smtplib: a session `s` with the port in clear, a message `msg`; `show` prints what is sent.
const SMTPLIB: &str = r#"
import os, smtplib, ssl, sys
from email.generator import BytesGenerator
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
e = os.environ
s = smtplib.SMTP(e["HOST"], int(e["SMTP"]), local_hostname="app.test", timeout=20)
msg = EmailMessage()
msg["From"] = "App <app@x.test>"
msg["To"] = "to@x.test"
msg["Bcc"] = "hidden@x.test"
msg["Subject"] = "Grüße"
msg["Date"] = "Mon, 01 Jan 2024 00:00:00 +0000"
msg["Message-ID"] = "<1@x.test>"
msg.set_content(e["TEXT"], cte="8bit")
def show(policy, mangle):
    del msg["Bcc"]
    policy = policy.clone(mangle_from_=mangle)
    BytesGenerator(sys.stdout.buffer, policy=policy).flatten(msg)
"#;

/// Marks From lines with `>`, as `send_message` does.
const SMTPLIB_PLAIN: &str = r#"
assert s.send_message(msg) == {}
show(SMTP, True)"#;

/// An address that needs SMTPUTF8.
const SMTPLIB_UTF8: &str = r#"
msg.replace_header("To", "jürgen@bücher.test")
assert s.send_message(msg) == {}
show(SMTPUTF8, False)"#;

/// Bytes to several recipients, of whom one is refused.
const SMTPLIB_REFUSED: &str = r#"
data = msg.as_bytes(policy=SMTP)
got = s.sendmail("bounce@x.test", ["to@x.test", "no address@x.test", "last@x.test"], data, ["BODY=8BITMIME"])
assert list(got) == ["no address@x.test"] and got["no address@x.test"][0] == 501, got
assert s.noop()[0] == 250
show(SMTP, False)"#;

/// STARTTLS and AUTH on the submission port.
const SMTPLIB_SECURED: &str = r#"
s.quit()
s = smtplib.SMTP(e["HOST"], int(e["SUBMISSION"]), local_hostname="app.test", timeout=20)
s.starttls(context=ssl.create_default_context(cafile=e["CA"]))
s.login(e["USERNAME"], e["PASSWORD"])
assert s.send_message(msg, from_addr="bounce@x.test", mail_options=["BODY=8BITMIME", "RET=HDRS"]) == {}
show(SMTP, True)"#;

#[test]
fn python_smtplib() {
    need("/usr/bin/python3", "python3");
    let doors = Doors::open();
    let cases = [
        (
            SMTPLIB_PLAIN,
            "app@x.test",
            vec!["hidden@x.test", "to@x.test"],
            "ESMTP",
        ),
        (
            SMTPLIB_UTF8,
            "app@x.test",
            vec!["hidden@x.test", "j\u{fc}rgen@b\u{fc}cher.test"],
            "UTF8SMTP",
        ),
        (
            SMTPLIB_REFUSED,
            "bounce@x.test",
            vec!["last@x.test", "to@x.test"],
            "ESMTP",
        ),
        (
            SMTPLIB_SECURED,
            "bounce@x.test",
            vec!["hidden@x.test", "to@x.test"],
            "ESMTPSA",
        ),
    ];
    for (index, (end, sender, recipients, protocol)) in cases.into_iter().enumerate() {
        let script = format!("{SMTPLIB}{end}\ns.quit()");
        let sent = doors.run(doors.client(&["python3", "-c", &script]));
        let delivery = doors.scene.nth(index);
        assert_eq!(delivery.envelope(), (sender, recipients), "{end}");
        doors.scene.expect_exactly(&delivery, sent.as_bytes());
        expect_received(&delivery, "app.test", protocol);
        let utf8 = delivery.parameters.iter().any(|p| p == "SMTPUTF8");
        assert_eq!(utf8, index == 1, "{:?}", delivery.parameters);
    }
    let log = doors.scene.rig.log();
    let known = format!("sasl_method=PLAIN, sasl_username={USER}");
    assert!(log.contains(&known), "{log}");
}

#[test]
fn ruby_net_smtp() {
    need("/usr/bin/ruby", "ruby");
    let doors = Doors::open();
    let begin = r#"
        require "net/smtp"
        message = STDIN.read
        host, user, password = ENV.values_at("HOST", "USERNAME", "PASSWORD")
        tls = OpenSSL::SSL::SSLContext.new
        tls.set_params(ca_file: ENV["CA"])
        secure = ->(method, &block) do
          s = Net::SMTP.new(host, ENV["SUBMISSION"].to_i)
          s.enable_starttls(tls)
          s.start("app.test", user, password, method, &block)
        end
    "#;
    let plain = r#"Net::SMTP.start(host, ENV["SMTP"].to_i, helo: "app.test") do |s|
        s.send_message(message, "bounce@x.test", "to@x.test", ["second@x.test"])
        # A refused recipient ends the transaction here, and the session goes on.
        begin
          s.send_message(message, "bounce@x.test", "no address@x.test")
          exit 1
        rescue Net::SMTPSyntaxError
          s.rset
        end
        s.open_message_stream("bounce@x.test", "to@x.test") { |f| message.each_line(chomp: true) { |l| f.puts l } }
    end"#;
    let secured = r#"
        secure.(:plain) { |s| s.send_message(message, "bounce@x.test", "to@x.test") }
        secure.(:login) { |s| s.send_message(message, "bounce@x.test", "to@x.test") }"#;
    for (count, script) in [(2, plain), (4, secured)] {
        doors.run(doors.client(&["ruby", "-e", &format!("{begin}{script}")]));
        let all = doors.scene.gateway.expect(count, LIMIT);
        for delivery in &all[count - 2..] {
            assert_eq!(delivery.sender, "bounce@x.test");
            doors.scene.expect_exactly(delivery, MESSAGE.as_bytes());
            expect_received(
                delivery,
                "app.test",
                if count == 2 { "ESMTP" } else { "ESMTPSA" },
            );
        }
        let mut recipients: Vec<&str> = all[count - 2..]
            .iter()
            .flat_map(Delivery::addresses)
            .collect();
        recipients.sort_unstable();
        let second = (count == 2).then_some("second@x.test");
        let expected: Vec<&str> = second.into_iter().chain(["to@x.test"; 2]).collect();
        assert_eq!(recipients, expected);
    }
}

/// Ruby's mail gem as Rails sets it up for SMTP.
#[test]
fn ruby_mail_gem_by_smtp() {
    need("/usr/lib/ruby/vendor_ruby/mail.rb", "ruby-mail");
    let doors = Doors::open();
    let script = r#"
        require "mail"
        e = ENV
        secured = { port: e["SUBMISSION"], user_name: e["USERNAME"], password: e["PASSWORD"], authentication: e["METHOD"],
          ca_file: e["CA"], enable_starttls: true }
        m = Mail.new(from: "App <app@x.test>", to: "to@x.test", bcc: "hidden@x.test", subject: "Grüße",
          body: e["TEXT"], charset: "UTF-8")
        m.smtp_envelope_from = "bounce@x.test"
        settings = e["METHOD"] == "" ? { port: e["SMTP"] } : secured
        m.delivery_method :smtp, settings.merge(address: e["HOST"], domain: "app.test")
        m.deliver!
        print m.encoded"#;
    for (index, method) in ["", "plain", "login"].into_iter().enumerate() {
        let mut command = doors.client(&["ruby", "-e", script]);
        command.env("METHOD", method);
        let sent = doors.run(command);
        let delivery = doors.scene.nth(index);
        let expected = ("bounce@x.test", vec!["hidden@x.test", "to@x.test"]);
        assert_eq!(delivery.envelope(), expected);
        doors.scene.expect_exactly(&delivery, sent.as_bytes());
        expect_received(
            &delivery,
            "app.test",
            if method.is_empty() {
                "ESMTP"
            } else {
                "ESMTPSA"
            },
        );
    }
}

#[test]
fn perl_net_smtp() {
    need("/usr/bin/perl", "perl");
    let doors = Doors::open();
    let script = r#"
        use Net::SMTP;
        undef $/;
        my $message = <STDIN>;
        my $s = Net::SMTP->new($ENV{HOST}, Port => $ENV{SMTP}, Hello => "app.test", Timeout => 20) or die;
        $s->mail('bounce@x.test', Bits => "8", Size => length $message) or die $s->message;
        my @taken = $s->to('to@x.test', 'no address@x.test', 'last@x.test', {SkipBad => 1});
        "@taken" eq 'to@x.test last@x.test' or die "@taken";
        $s->data($message) or die $s->message;
        $s->quit or die;"#;
    doors.run(doors.client(&["perl", "-e", script]));
    let delivery = doors.scene.one();
    assert_eq!(
        delivery.envelope(),
        ("bounce@x.test", vec!["last@x.test", "to@x.test"])
    );
    doors.scene.expect_exactly(&delivery, MESSAGE.as_bytes());
    expect_received(&delivery, "app.test", "ESMTP");
}

/// A pool of three connections, four messages each; then one transport with AUTH by each method.
#[test]
fn nodemailer_by_smtp() {
    need("/usr/share/nodejs/nodemailer", "node-nodemailer");
    let doors = Doors::open();
    let pool = r#"
        const e = process.env;
        const pool = require("nodemailer").createTransport({
            pool: true, maxConnections: 3, maxMessages: 4, host: e.HOST, port: +e.SMTP, name: "app.test" });
        const one = n => pool.sendMail({ from: "App <app@x.test>", to: ["to@x.test", "Tö <second@x.test>"],
            bcc: "hidden@x.test", subject: "Grüße " + n, text: e.TEXT });
        Promise.all([...Array(12).keys()].map(one)).then(() => pool.close());"#;
    doors.run(node(&doors, pool));
    let mut subjects = Vec::new();
    for delivery in doors.scene.gateway.expect(12, LIMIT) {
        assert_eq!(
            delivery.envelope(),
            (
                "app@x.test",
                vec!["hidden@x.test", "second@x.test", "to@x.test"]
            )
        );
        expect_received(&delivery, "app.test", "ESMTP");
        assert!(delivery.fields("Bcc").is_empty());
        let read = Reading::of(&delivery.content);
        assert_eq!((read.text(), read.defects.len()), (TEXT, 0));
        assert_eq!(
            read.to[1],
            ("T\u{f6}".to_owned(), "second@x.test".to_owned())
        );
        subjects.push(read.subject);
    }
    subjects.sort_unstable();
    subjects.dedup();
    assert_eq!(subjects.len(), 12, "{subjects:?}");
    let sessions = doors
        .scene
        .rig
        .log()
        .matches("]: connect from localhost")
        .count();
    assert_eq!(sessions, 3, "each connection of the pool carried four");

    let secured = r#"
        const e = process.env;
        const ca = require("fs").readFileSync(e.CA);
        const transport = require("nodemailer").createTransport({ host: e.HOST, port: +e.SUBMISSION, requireTLS: true,
            name: "app.test", authMethod: e.METHOD, auth: { user: e.USERNAME, pass: e.PASSWORD }, tls: { ca } });
        const raw = require("fs").readFileSync(0);
        transport.sendMail({ envelope: { from: "bounce@x.test", to: ["to@x.test"] }, raw });"#;
    for (index, method) in ["PLAIN", "LOGIN"].into_iter().enumerate() {
        let mut command = node(&doors, secured);
        command.env("METHOD", method);
        doors.run(command);
        let delivery = doors.scene.nth(12 + index);
        assert_eq!(delivery.envelope(), ("bounce@x.test", vec!["to@x.test"]));
        doors.scene.expect_exactly(&delivery, MESSAGE.as_bytes());
        expect_received(&delivery, "app.test", "ESMTPSA");
    }
}

/// Debian keeps its packages of Node in a folder of their own, where only its own build of Node looks.
fn node(doors: &Doors, script: &str) -> Command {
    let mut command = doors.client(&["node", "-e", script]);
    command.env("NODE_PATH", "/usr/share/nodejs");
    command
}
