//! What a host with a web site sends in a day, through a gateway that takes mail from `yourdomain.com` only, seven bits
//! and no line above 998 characters: a cron job, mail for root, a contact form with the visitor's address in From, and
//! a page of HTML in one line. All of it is taken at once, reads as it was written, and answers go to the visitor.
//! Needs root, for cron and the mount namespace.

#![forbid(unsafe_code)]

use std::process::Command;
use std::time::Duration;

use tests::certificate::{Authority, Validity};
use tests::cron::Cron;
use tests::gateway::{Gateway, Setup};
use tests::namespace::root_or_skip;
use tests::patience;
use tests::postfix::{Account, Postfix, free_port};
use tests::program::{need, succeed};
use tests::reading::Reading;
use tests::scene::{LIMIT, Scene};

/// The uid of `www-data` on every Debian.
const WWW_DATA: u32 = 33;

/// As the README gives it.
const FROM: &str = "[from]\ndefault = noreply@yourdomain.com\nname = {name} via yoursite\n";

const OFFICE: &str = "office@yourdomain.com";

/// How many messages [`send_everything`] sends.
const COUNT: usize = 5;

/// The page in one line: 2,000 characters of two to three bytes.
fn page() -> String {
    format!(
        "<html><body>{}</body></html>",
        "gr\u{fc}n \u{20ac}".repeat(333)
    )
    .chars()
    .take(2000)
    .collect()
}

/// Everything, by the programs that send such mail. Cron's mail is under way when this returns.
fn send_everything(scene: &Scene) -> Cron {
    let table = format!("MAILTO={OFFICE}\n@reboot printf 'line one\\n.\\nlast \\303\\274\\n'\n");
    let cron = Cron::start(scene, &table, "");

    need("/usr/bin/mail", "bsd-mailx");
    let mail = "echo hi | mail -s 'for root' root";
    succeed(&mut scene.as_user(0, &["sh", "-c", mail]), b"");

    need("/usr/lib/ruby/vendor_ruby/mail.rb", "ruby-mail");
    let form = r#"
        require "mail"
        Mail.defaults { delivery_method :sendmail }
        { "Visitor Name" => "plain", "Jürgen Müller" => "name" }.each do |name, kind|
          address = Mail::Address.new("visitor@elsewhere.test")
          address.display_name = name
          m = Mail.new(from: address.format, to: ENV["OFFICE"], subject: "form #{kind}", charset: "UTF-8",
            body: "I like\n.\nyour grün €.\n")
          m.deliver!
        end"#;
    let mut command = scene.as_user(WWW_DATA, &["ruby", "-e", form]);
    succeed(command.env("OFFICE", OFFICE), b"");

    need("/usr/bin/php", "php-cli");
    let html = r#"
        $headers = "From: Visitor Name <visitor@elsewhere.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8";
        exit(mail(getenv("OFFICE"), "page: Grüße", getenv("PAGE"), $headers) ? 0 : 1);"#;
    let mut command = scene.as_user(WWW_DATA, &["php", "-r", html]);
    succeed(command.env("OFFICE", OFFICE).env("PAGE", page()), b"");
    cron
}

fn mailbox(name: &str, address: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), address.to_owned())]
}

/// Every message reads as it was written.
#[track_caller]
fn expect_everything(mut all: Vec<Reading>) {
    all.sort_by(|a, b| a.subject.cmp(&b.subject));
    let subjects: Vec<&str> = all.iter().map(|read| read.subject.as_str()).collect();
    assert_eq!(subjects.len(), COUNT, "{subjects:?}");
    for read in &all {
        assert_eq!(read.from.len(), 1, "{read:?}");
        assert_eq!(read.from[0].1, "noreply@yourdomain.com", "{read:?}");
        assert_eq!(read.defects, Vec::<String>::new(), "{read:?}");
    }
    let visitor = "visitor@elsewhere.test";
    let [cron, root, name, plain, page_read] = [
        "Cron <",
        "for root",
        "form name",
        "form plain",
        "page: Gr\u{fc}\u{df}e",
    ]
    .map(|subject| {
        let found = all.iter().find(|read| read.subject.starts_with(subject));
        found.unwrap_or_else(|| panic!("{subject} is not among {subjects:?}"))
    });

    assert_eq!(cron.text(), "line one\n.\nlast \u{fc}\n");
    assert_eq!(cron.from[0].0, "root on relay (Cron Daemon)");
    assert_eq!(root.text(), "hi\n");
    assert_eq!(root.from[0].0, "root on relay");
    for (read, name) in [(plain, "Visitor Name"), (name, "J\u{fc}rgen M\u{fc}ller")] {
        assert_eq!(read.text(), "I like\n.\nyour gr\u{fc}n \u{20ac}.\n");
        assert_eq!(read.from[0].0, format!("{name} via yoursite"));
        assert_eq!(read.reply_to, mailbox(name, visitor));
    }
    assert_eq!(page_read.parts[0].kind, "text/html");
    assert_eq!(page_read.text().trim_end(), page());
    assert_eq!(page_read.from[0].0, "Visitor Name via yoursite");
    assert_eq!(page_read.reply_to, mailbox("Visitor Name", visitor));
}

/// A scene with the From policy, not yet started.
fn scene() -> Scene {
    let mut scene = Scene::prepare();
    scene.rig.change(|access| {
        access.top = format!("root = {OFFICE}\n");
        access.sections = FROM.to_owned();
    });
    scene
}

#[test]
fn a_strict_provider_takes_all_of_it() {
    if !root_or_skip("a_strict_provider_takes_all_of_it") {
        return;
    }
    let mut scene = scene();
    scene.gateway.change(|setup| {
        let identity = setup.identity.clone().expect("the scene gave it one");
        *setup = Setup::strict_provider(identity, "yourdomain.com");
    });
    scene.rig.start();
    let _cron = send_everything(&scene);
    let deliveries = scene.gateway.expect(COUNT, LIMIT);
    for delivery in &deliveries {
        assert_eq!(delivery.sender, "noreply@yourdomain.com");
        assert_eq!(delivery.addresses(), [OFFICE]);
    }
    expect_everything(deliveries.iter().map(|d| Reading::of(&d.content)).collect());
    scene.rig.expect_empty_queue(LIMIT);
    scene.gateway.expect_good_manners();
    let record = scene.gateway.record();
    let attempts = record
        .commands
        .iter()
        .filter(|c| c.line.starts_with("MAIL "));
    assert_eq!(
        attempts.count(),
        COUNT,
        "each was taken at its first attempt"
    );
}

#[test]
fn a_strict_postfix_takes_all_of_it() {
    if !root_or_skip("a_strict_postfix_takes_all_of_it") {
        return;
    }
    let mut scene = scene();
    let authority = Authority::new();
    let identity = authority.issue("gateway.test", Validity::Current);
    let account = Account {
        user: "relay-user",
        password: "correct horse",
    };
    let port = free_port();
    let postfix = Postfix::strict_gateway(port, &identity, &account, r"yourdomain\.com");
    scene.rig.change(|access| {
        access.port = port;
        access.authority_pem = Some(authority.pem.clone());
        access.login = Some((account.user.to_owned(), account.password.to_owned()));
    });
    scene.rig.start();
    let _cron = send_everything(&scene);
    patience::expect("all is in the Maildir", Duration::from_secs(30), || {
        postfix.count() == COUNT
    });
    let delivered = postfix.delivered();
    for message in &delivered {
        assert!(message.starts_with(b"Return-Path: <noreply@yourdomain.com>\n"));
    }
    expect_everything(
        delivered
            .iter()
            .map(|message| Reading::of(message))
            .collect(),
    );
    scene.rig.expect_empty_queue(LIMIT);
    let log = postfix.log();
    assert!(!log.contains("reject"), "{log}");
}

/// With the settings of the README's first lines, the host's own mail is from the domain already and stays as it is.
#[test]
fn mail_of_our_own_domain_stays_as_it_is() {
    if !root_or_skip("mail_of_our_own_domain_stays_as_it_is") {
        return;
    }
    let mut scene = scene();
    scene.gateway.change(|setup| {
        let identity = setup.identity.clone().expect("the scene gave it one");
        *setup = Setup::strict_provider(identity, "yourdomain.com");
    });
    scene
        .rig
        .change(|access| access.domain = "yourdomain.com".to_owned());
    scene.rig.start();
    let mail = "echo hi | mail -s 'for root' root";
    succeed(&mut scene.as_user(0, &["sh", "-c", mail]), b"");
    let delivery = scene.one();
    assert_eq!(delivery.sender, "root@yourdomain.com");
    assert_eq!(delivery.addresses(), [OFFICE]);
    let read = Reading::of(&delivery.content);
    assert_eq!(read.from[0].1, "root@yourdomain.com");
    assert_eq!((read.text(), read.reply_to.len()), ("hi\n", 0));
}

/// The judges are judged: what a client sends that does not mind the rules is refused by both.
#[test]
fn the_strict_gateways_are_strict() {
    if !root_or_skip("the_strict_gateways_are_strict") {
        return;
    }
    need("/usr/bin/python3", "python3");
    let authority = Authority::new();
    let identity = authority.issue("localhost", Validity::Current);
    let gateway = Gateway::start(Setup::strict_provider(identity.clone(), "yourdomain.com"));
    let mut password = String::new();
    gateway.change(|setup| password.clone_from(&setup.password));
    let account = Account {
        user: "relay-user",
        password: &password,
    };
    let port = free_port();
    let postfix = Postfix::strict_gateway(port, &identity, &account, r"yourdomain\.com");
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("ca.pem");
    authority.write(&file);
    for port in [gateway.port(), port] {
        let mut command = Command::new("/usr/bin/python3");
        command.args([
            "-c",
            STRANGER,
            &port.to_string(),
            account.user,
            account.password,
        ]);
        let said = succeed(command.arg(&file), b"");
        assert_eq!(
            said, "good 250\nsender 5\nfrom 5\neight bits 5\nheader 5\nlong line 5\n",
            "{port}"
        );
    }
    patience::expect("the good one is in the Maildir", LIMIT, || {
        postfix.count() == 1
    });
    assert_eq!(gateway.record().deliveries.len(), 1);
}

/// Sends one good message and several bad ones; prints what became of each.
const STRANGER: &str = r#"
import smtplib, ssl, sys
port, user, password, authority = sys.argv[1:]
s = smtplib.SMTP("localhost", int(port), local_hostname="client.test", timeout=20)
s.starttls(context=ssl.create_default_context(cafile=authority))
s.login(user, password)
def send(what, sender, message):
    try:
        s.sendmail(sender, ["to@x.test"], message)
        print(what, 250)
    except smtplib.SMTPRecipientsRefused as e:
        print(what, e.recipients["to@x.test"][0] // 100)
    except smtplib.SMTPResponseException as e:
        print(what, e.smtp_code // 100)
    s.rset()
ours = "app@yourdomain.com"
good = b"From: App <app@yourdomain.com>\r\n\r\ntext\r\n"
send("good", ours, good)
send("sender", "app@elsewhere.test", good)
send("from", ours, good.replace(b"yourdomain.com", b"elsewhere.test"))
send("eight bits", ours, good + b"gr\xc3\xbcn\r\n")
send("header", ours, b"Subject: gr\xc3\xbcn\r\n" + good)
send("long line", ours, good + b"x" * 999 + b"\r\n")
s.quit()
"#;
