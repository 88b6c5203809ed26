//! `mailq`, `postqueue` and `sendmail -q`: what relayd is asked, and what is shown.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::io::{BufRead, BufReader, Read};

use harness::{Host, MAILQ, POSTQUEUE, SENDMAIL, assert_silent, failure, start};

const LINE: &str = r#"{"queue_name": "deferred", "queue_id": "76CAF9E03A2A", "arrival_time": 1795458739, "message_size": 2450, "forced_expire": false, "sender": "joe@x.example", "recipients": [{"address": "a@dead.test", "delay_reason": "no \"way\""}]}"#;

fn answer(lines: usize) -> String {
    format!("OK\n{}END {lines}\n", format!("{LINE}\n").repeat(lines))
}

#[test]
fn the_queue_is_shown_as_postfix_shows_it() {
    let host = Host::new();
    let control = host.control(answer(2));
    let expected = "\
-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
76CAF9E03A2A    2450 Mon Nov 23 18:32:19  joe@x.example
                                                                    (no \"way\")
                                         a@dead.test

76CAF9E03A2A    2450 Mon Nov 23 18:32:19  joe@x.example
                                                                    (no \"way\")
                                         a@dead.test

-- 4 Kbytes in 2 Requests.
";
    for (program, arguments) in [
        (MAILQ, &[] as &[&str]),
        (MAILQ, &["-Ac"]),
        (MAILQ, &["-v"]),
        (SENDMAIL, &["-bp"]),
        (POSTQUEUE, &["-p"]),
    ] {
        let mut command = host.command(program, arguments);
        command.env("TZ", "UTC");
        let output = harness::finish(command, "");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(control.recv().unwrap(), "LIST\n");
    }
}

#[test]
fn json_is_passed_on_as_relayd_says_it() {
    let host = Host::new();
    let _control = host.control(answer(1));
    let output = host.run(POSTQUEUE, &["-j"], "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{LINE}\n"));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn an_empty_queue_is_one_line_or_no_json() {
    let host = Host::new();
    let _control = host.control(answer(0));
    let shown = |arguments: &[&str]| host.run(POSTQUEUE, arguments, "").stdout;
    assert_eq!(shown(&["-p"]), b"Mail queue is empty\n");
    assert_eq!(shown(&["-j"]), b"");
}

#[test]
fn settings_that_are_wrong_elsewhere_hide_no_queue() {
    let host = Host::new();
    let _control = host.control(answer(1));
    host.configure_badly();
    for (program, arguments) in [(MAILQ, &[] as &[&str]), (POSTQUEUE, &["-p"])] {
        let listing = host.run(program, arguments, "").stdout;
        assert!(String::from_utf8_lossy(&listing).contains("76CAF9E03A2A"));
    }
}

#[test]
fn flushing_asks_relayd() {
    let host = Host::new();
    let control = host.control("OK\n");
    for (program, arguments, request) in [
        (POSTQUEUE, &["-f"] as &[&str], "FLUSH\n"),
        (SENDMAIL, &["-q"], "FLUSH\n"),
        (MAILQ, &["-q"], "FLUSH\n"),
        (
            POSTQUEUE,
            &["-i", "76CAF9E03A2A"],
            "FLUSH-ID 76CAF9E03A2A\n",
        ),
        (SENDMAIL, &["-qI76CAF9E03A2A"], "FLUSH-ID 76CAF9E03A2A\n"),
        (
            POSTQUEUE,
            &["-s", "[192.0.2.1]"],
            "FLUSH-SITE [192.0.2.1]\n",
        ),
        (SENDMAIL, &["-qRx.example"], "FLUSH-SITE x.example\n"),
    ] {
        assert_silent(&host.run(program, arguments, ""));
        assert_eq!(control.recv().unwrap(), request);
    }
}

#[track_caller]
fn fail(host: &Host, program: &str, arguments: &[&str], text: &str) {
    let line = failure(&host.run(program, arguments, ""), 69);
    assert_eq!(line, format!("postqueue: fatal: {text}\n"));
}

#[test]
fn what_cannot_be_done_is_69_in_the_words_of_postfix() {
    let host = Host::new();
    let usage = "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site";
    for arguments in [&[] as &[&str], &["-z"], &["-p", "x"], &["--help"]] {
        fail(&host, POSTQUEUE, arguments, usage);
    }
    let down = "Cannot flush mail queue - mail system is down";
    fail(&host, POSTQUEUE, &["-f"], down);
    fail(&host, SENDMAIL, &["-q"], down);
    fail(&host, POSTQUEUE, &["-i", "76CAF9E03A2A"], down);
    let name = "Cannot flush queue ID - invalid name: \"../x\"";
    fail(&host, POSTQUEUE, &["-i", "../x"], name);
    let long = "A".repeat(300);
    let name = format!(
        "Cannot flush queue ID - invalid name: \"{}...\"",
        "A".repeat(100)
    );
    fail(&host, POSTQUEUE, &["-i", &long], &name);
    let site = "Cannot flush mail queue - invalid destination: \"x??FLUSH *\"";
    fail(&host, POSTQUEUE, &["-s", "x\r\nFLUSH *"], site);
    let _control =
        host.control("ERR denied User joe(1000) is not allowed to view the mail queue\n");
    fail(
        &host,
        MAILQ,
        &[],
        "User joe(1000) is not allowed to view the mail queue",
    );
}

#[test]
fn a_listing_that_was_cut_short_is_a_failure() {
    let host = Host::new();
    let _control = host.control(format!("OK\n{LINE}\n"));
    let output = host.run(MAILQ, &[], "");
    assert_eq!(
        failure(&output, 69),
        "postqueue: fatal: relayd's answer cannot be used: it was cut short\n"
    );
}

#[test]
fn a_recipient_for_mailq_is_a_usage_error() {
    let host = Host::new();
    let line = failure(&host.run(MAILQ, &["foo"], ""), 64);
    assert_eq!(
        line,
        "mailq: fatal: display queue mode requires no recipient\n"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let host = Host::new();
    let _control = host.control(answer(10_000));
    for (program, arguments) in [(MAILQ, &[] as &[&str]), (POSTQUEUE, &["-j"])] {
        let mut child = start(&mut host.command(program, arguments));
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        drop(out);
        let mut text = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!((text.as_str(), child.wait().unwrap().code()), ("", Some(0)));
    }
}

#[test]
fn with_relayd_down_root_reads_the_disk_and_others_may_not() {
    let host = Host::new();
    assert_silent(&host.sendmail(&["-f", "me@x", "a@x"], "From: x\n\nb\n"));
    let output = host.run(MAILQ, &[], "");
    if host::identity::effective_uid() == 0 {
        let warning = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            warning.starts_with(
                "postqueue: warning: Mail system is down -- accessing queue directly (connect to "
            ),
            "{warning}"
        );
        let listing = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            listing.contains(" me@x\n") && listing.contains(" a@x\n"),
            "{listing}"
        );
        let name = host.maildrop().remove(0);
        let digits = name.file_name().unwrap().to_string_lossy()[..12].to_ascii_uppercase();
        assert!(listing.contains(&format!("\n{digits} ")), "{listing}");
        assert!(
            listing.ends_with("-- 0 Kbytes in 1 Request.\n"),
            "{listing}"
        );
        assert_eq!(output.status.code(), Some(0));

        let mut command = host.command(MAILQ, &[]);
        std::os::unix::process::CommandExt::uid(&mut command, 54_321);
        std::fs::set_permissions(
            host.path(""),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let line = failure(&harness::finish(command, ""), 69);
        assert!(
            line.starts_with(
                "postqueue: fatal: Queue report unavailable - mail system is down (connect to "
            ),
            "{line}"
        );
    }
}
