//! `sendmail` with relayd running: what callers pass, and what relayd is given.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::os::unix::process::CommandExt;

use harness::{Host, SENDMAIL, assert_silent, finish, login};
use mail::{Body, Notify, Ret};

const PLAIN: &str = "From: me@x.example\nTo: bob@b.example\nSubject: s\n\nb\n";

#[track_caller]
fn check(arguments: &[&str], stdin: &str, sender: &str, recipients: &[&str], content: &str) {
    let host = Host::new();
    let relayd = host.relayd();
    assert_silent(&host.sendmail(arguments, stdin));
    let submission = relayd.try_recv().unwrap();
    assert_eq!(submission.sender(), sender);
    assert_eq!(submission.recipients(), recipients);
    assert_eq!(submission.content, content);
    assert!(relayd.try_recv().is_err());
    assert!(host.maildrop().is_empty());
}

/// What `PLAIN` becomes.
const PLAIN_SENT: &str = "From: me@x.example\r\nTo: bob@b.example\r\nSubject: s\r\n\r\nb\r\n";

#[test]
fn recipients_come_from_arguments_or_header_or_both() {
    let me = login();
    check(&["-t", "-i"], PLAIN, &me, &["bob@b.example"], PLAIN_SENT);
    check(&["-i", "a@x,c@x"], PLAIN, &me, &["a@x", "c@x"], PLAIN_SENT);
    check(
        &["-t", "a@x", "BOB@b.example"],
        PLAIN,
        &me,
        &["a@x", "BOB@b.example"],
        PLAIN_SENT,
    );
    check(&["-i", "--", "-bad@x"], PLAIN, &me, &["-bad@x"], PLAIN_SENT);
    check(&["-i", ""], PLAIN, &me, &["MAILER-DAEMON"], PLAIN_SENT);
    check(&["root"], PLAIN, &me, &["root"], PLAIN_SENT);
}

#[test]
fn the_sender_is_the_login_name_or_what_is_asked_for() {
    check(&["a@x"], PLAIN, &login(), &["a@x"], PLAIN_SENT);
    check(&["-fme@x", "a@x"], PLAIN, "me@x", &["a@x"], PLAIN_SENT);
    check(&["-f", "", "a@x"], PLAIN, "", &["a@x"], PLAIN_SENT);
    check(&["-f<>", "a@x"], PLAIN, "", &["a@x"], PLAIN_SENT);
    check(
        &["-r", "<me@x>", "a@x"],
        PLAIN,
        "me@x",
        &["a@x"],
        PLAIN_SENT,
    );
}

#[test]
fn a_lone_dot_ends_the_message_unless_told_otherwise() {
    let text = "From: me@x.example\n\na\n.\nb\n";
    let me = login();
    check(
        &["a@x"],
        text,
        &me,
        &["a@x"],
        "From: me@x.example\r\n\r\na\r\n",
    );
    for option in ["-i", "-oi", "-oitrue"] {
        let sent = "From: me@x.example\r\n\r\na\r\n.\r\nb\r\n";
        check(&[option, "a@x"], text, &me, &["a@x"], sent);
    }
    // SwiftMailer doubles dots itself; nobody takes them apart again.
    check(
        &["a@x"],
        "From: x\n\n..\n",
        &me,
        &["a@x"],
        "From: x\r\n\r\n..\r\n",
    );
}

#[test]
fn any_line_ends_become_crlf() {
    let mixed = "From: x\r\r\nTo: a@x\r\n\na\nb\r\n50%\r60%\nend";
    let sent = "From: x\r\nTo: a@x\r\n\r\na\r\nb\r\n50% 60%\r\nend\r\n";
    check(&["-t", "-i"], mixed, &login(), &["a@x"], sent);
}

#[test]
fn a_missing_author_is_added_at_the_end_of_the_header() {
    let text = "Subject: s\n\nb\n";
    let sent = |author: &str| format!("Subject: s\r\nFrom: {author}\r\n\r\nb\r\n");
    check(
        &["-F", "Al Ex", "-f", "al@x", "a@x"],
        text,
        "al@x",
        &["a@x"],
        &sent("Al Ex <al@x>"),
    );
    check(
        &["-F", "", "-f", "al@x", "a@x"],
        text,
        "al@x",
        &["a@x"],
        &sent("al@x"),
    );
    check(
        &["-f", "", "a@x"],
        text,
        "",
        &["a@x"],
        &sent("MAILER-DAEMON"),
    );
    check(
        &["-G", "-f", "al@x", "a@x"],
        text,
        "al@x",
        &["a@x"],
        "Subject: s\r\n\r\nb\r\n",
    );
    let resent = "From: x\nResent-To: r@x\nBcc: no@x\n\nb\n";
    let sent = "From: x\r\nResent-To: r@x\r\nBcc: no@x\r\nResent-From: N <al@x>\r\n\r\nb\r\n";
    check(
        &["-t", "-F", "N", "-f", "al@x"],
        resent,
        "al@x",
        &["r@x"],
        sent,
    );
}

#[test]
fn mail_of_others_is_marked_for_relayd() {
    let host = Host::new();
    let relayd = host.relayd();
    for (options, as_is) in [(&["-G", "a@x"] as &[&str], true), (&["a@x"], false)] {
        assert_silent(&host.sendmail(options, PLAIN));
        assert_eq!(relayd.recv().unwrap().envelope.as_is, as_is);
    }
}

#[test]
fn settings_that_are_wrong_elsewhere_stop_no_mail() {
    let host = Host::new();
    let relayd = host.relayd();
    host.configure_badly();
    assert_silent(&host.sendmail(&["a@x"], PLAIN));
    assert_eq!(relayd.recv().unwrap().recipients(), ["a@x"]);
}

#[test]
fn the_variable_name_names_the_author() {
    let host = Host::new();
    let relayd = host.relayd();
    let mut command = host.command(SENDMAIL, &["-f", "al@x", "a@x"]);
    command
        .env("NAME", "Env Name")
        .env("LOGNAME", "mallory")
        .env("USER", "mallory");
    assert_silent(&finish(command, "\nb\n"));
    assert_eq!(
        relayd.recv().unwrap().content,
        "From: Env Name <al@x>\r\n\r\nb\r\n"
    );
}

#[test]
fn a_message_without_header_or_text_is_a_message() {
    let author = "From: N <al@x>\r\n\r\n";
    let arguments = ["-i", "-F", "N", "-f", "al@x", "a@x"];
    check(&arguments, "", "al@x", &["a@x"], author);
    check(
        &arguments,
        "just text\nx: y\n",
        "al@x",
        &["a@x"],
        &format!("{author}just text\r\nx: y\r\n"),
    );
    check(
        &arguments,
        "\nSubject: x\n",
        "al@x",
        &["a@x"],
        &format!("{author}Subject: x\r\n"),
    );
    check(
        &["-t"],
        "From: x\nTo: a@x",
        &login(),
        &["a@x"],
        "From: x\r\nTo: a@x\r\n\r\n",
    );
}

#[test]
fn delivery_wishes_reach_relayd() {
    let host = Host::new();
    let relayd = host.relayd();
    let arguments = [
        "-B8BITMIME",
        "-N",
        "failure,delay",
        "-R",
        "hdrs",
        "-V",
        "id 7+",
        "a@x",
        "b@x",
    ];
    assert_silent(&host.sendmail(&arguments, PLAIN));
    let envelope = relayd.recv().unwrap().envelope;
    assert_eq!(
        (envelope.body, envelope.ret),
        (Body::EightBitMime, Some(Ret::Headers))
    );
    assert_eq!(envelope.envid.as_deref(), Some("id 7+"));
    let notify = Some(Notify {
        success: false,
        failure: true,
        delay: true,
    });
    assert!(
        envelope
            .recipients
            .iter()
            .all(|recipient| recipient.notify == notify)
    );
}

#[test]
fn eight_bit_text_and_addresses_are_declared() {
    let host = Host::new();
    let relayd = host.relayd();
    assert_silent(&host.sendmail(&["a@x"], "From: x\n\nbödy\n"));
    let envelope = relayd.recv().unwrap().envelope;
    assert_eq!(
        (envelope.body, envelope.smtputf8),
        (Body::EightBitMime, false)
    );
    assert_silent(&host.sendmail(&["jörg@x"], PLAIN));
    assert!(relayd.recv().unwrap().envelope.smtputf8);
}

#[test]
fn large_messages_and_long_lists_arrive_whole() {
    let host = Host::new();
    let relayd = host.relayd();
    let text = format!("From: x\n\n{}", "0123456789\n".repeat(300_000));
    assert_silent(&host.sendmail(&["-i", "a@x"], &text));
    assert_eq!(relayd.recv().unwrap().content, text.replace('\n', "\r\n"));

    let list: Vec<String> = (0..5_000).map(|number| format!("user{number}@x")).collect();
    let arguments: Vec<&str> = list.iter().map(String::as_str).collect();
    assert_silent(&host.sendmail(&arguments, PLAIN));
    assert_eq!(relayd.recv().unwrap().recipients(), list);

    let same = vec!["u@x"; 20_000];
    assert_silent(&host.sendmail(&same, PLAIN));
    assert_eq!(relayd.recv().unwrap().recipients(), ["u@x"]);
}

#[test]
fn other_names_do_other_things() {
    let host = Host::new();
    let control = host.control("OK\nEND 0\n");
    let called = |name: &str, arguments: &[&str]| {
        let mut command = host.command(SENDMAIL, arguments);
        command.arg0(name);
        finish(command, "")
    };
    assert_silent(&called("/usr/bin/newaliases", &[]));
    assert_silent(&called("sendmail", &["-bi"]));
    assert_silent(&called("sendmail", &["-q15m"]));
    let output = called("/usr/bin/mailq", &["-Ac"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "Mail queue is empty\n"
    );
    assert_eq!(control.recv().unwrap(), "LIST\n");
}

#[test]
fn a_malformed_sender_is_used_with_a_warning() {
    let host = Host::new();
    let relayd = host.relayd();
    let output = host.sendmail(&["-i", "-f", "bad addr", "a@x"], PLAIN);
    let warning = "sendmail: warning: -f option specified malformed sender: bad addr\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), warning);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(relayd.recv().unwrap().sender(), "bad");
}
